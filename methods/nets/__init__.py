"""The architectures. A net takes parts (quantizers, layers, norms) and knows no method and no optimizer."""

from typing import Any

from .mlp import MLP
from .tiny import Tiny
from .vgg import VGG

NETS: dict[str, Any] = {"mlp": MLP, "vgg": VGG, "tiny": Tiny}
