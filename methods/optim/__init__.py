"""Optimizers for binarized neural networks, one a file."""

from methods.optim.bayesbinn import BayesBiNN
from methods.optim.bop import Bop
from methods.optim.bop2nd import Bop2ndOrder
from methods.optim.pbop import PBop
from methods.optim.shift_adamax import ShiftAdaMax

__all__ = ["BayesBiNN", "Bop", "Bop2ndOrder", "PBop", "ShiftAdaMax"]
