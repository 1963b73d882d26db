"""The full-precision twin: the same nets and data without any binarization. The baseline row of every table."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from configs.settings import setting

from .base import Method, MethodConfig
from .binary.layers import Parts
from .binary.sign import Activation, ActivationSign, Identity, Quantizer


def _of(function: type[nn.Module]) -> Quantizer:
    return Activation(function())


FUNCTIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "hardtanh": nn.Hardtanh}
ACTIVATIONS: dict[str, Callable[[], Quantizer]] = {
    **{name: partial(_of, function) for name, function in FUNCTIONS.items()},
    "sign": ActivationSign,
}


@dataclass
class Config(MethodConfig):
    name: str = "real"
    lr: float = setting(0.001, "learning rate of Adam (α)", above=0)
    activation: str = setting("relu", "activation function; sign: ±1, with the hard-tanh gradient", choices=ACTIVATIONS)


class Real(Method):
    """full-precision twin of the same net: no binarization

    Real weights with PyTorch's initialization, Adam on everything. Its binarization gap is what plain rounding of a
    trained net to signs would cost."""

    Config = Config

    def parts(self) -> Parts:
        return Parts(Identity, ACTIVATIONS[self.config.activation])

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        yield torch.optim.Adam([{"params": binary}, {"params": rest}], lr=self.config.lr, fused=True)
