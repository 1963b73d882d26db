"""The registry: the methods that the benchmark compares, in the order of its rows. A new method is one line here."""

from .base import Method
from .bayesbinn import BayesBiNNMethod
from .bernoulli import Bernoulli
from .binaryconnect import BinaryConnect
from .bnnplus import BNNPlus
from .bop import BopMethod
from .bop2nd import Bop2ndMethod
from .pbnet import PBNet
from .pbop import PBopMethod
from .real import Real
from .ste import STE
from .ste_shift import STEShift

METHODS: dict[str, type[Method]] = {
    "real": Real,
    "binaryconnect": BinaryConnect,
    "ste": STE,
    "ste_shift": STEShift,
    "bnnplus": BNNPlus,
    "bop": BopMethod,
    "bop2nd": Bop2ndMethod,
    "pbop": PBopMethod,
    "pbnet": PBNet,
    "bayesbinn": BayesBiNNMethod,
    "bernoulli": Bernoulli,
}
