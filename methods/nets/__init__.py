"""The architectures. A net takes parts (quantizers, layers, norms) and knows no method and no optimizer."""

from typing import Any

from .bernoulli_cnn import BernoulliCNN
from .mlp import MLP
from .tiny import Tiny
from .vgg import VGG

NETS: dict[str, Any] = {"mlp": MLP, "vgg": VGG, "tiny": Tiny, "bernoulli_cnn": BernoulliCNN}
