"""Optimizers for binarized neural networks, one a file."""

from .bayesbinn import BayesBiNN
from .bop import Bop
from .bop2nd import Bop2ndOrder
from .pbop import PBop
from .shift_adamax import ShiftAdaMax

__all__ = ["BayesBiNN", "Bop", "Bop2ndOrder", "PBop", "ShiftAdaMax"]
