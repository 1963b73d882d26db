"""The architectures. A net takes parts (quantizers, layers, norms) and knows no method and no optimizer."""

from torch import nn

from .mlp import MLP
from .tiny import Tiny
from .vgg import VGG

NETS: dict[str, type[nn.Sequential]] = {"mlp": MLP, "vgg": VGG, "tiny": Tiny}
