"""The full-precision twin: the same nets and data without any binarization. The baseline row of every table."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from configs.settings import setting

from .base import Method, MethodConfig
from .binary.layers import Parts
from .binary.sign import Activation, Identity

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "hardtanh": nn.Hardtanh}


@dataclass
class Config(MethodConfig):
    name: str = "real"
    lr: float = setting(0.001, "learning rate of Adam (α)", above=0)
    activation: str = setting("relu", "activation function", choices=ACTIVATIONS)


class Real(Method):
    """full-precision twin of the same net: no binarization

    Real weights with PyTorch's initialization, Adam on everything. Its binarization gap is what plain rounding of a
    trained net to signs would cost."""

    Config = Config

    def parts(self) -> Parts:
        return Parts(Identity, lambda: Activation(ACTIVATIONS[self.config.activation]()))

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        yield torch.optim.Adam([{"params": binary}, {"params": rest}], lr=self.config.lr, fused=True)
