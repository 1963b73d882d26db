"""Latent weights: real values behind the binary ones, moved by the gradient of their sign and clipped."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from configs.settings import setting

from .base import Method, MethodConfig
from .binary.layers import BinaryConv2d, BinaryLinear, binary_layers, fans

INITS = ("uniform", "glorot", "torch7")
OPTIMIZERS = ("adam", "adamax", "sgd")


@dataclass
class LatentConfig(MethodConfig):
    """What the methods with clipped latent weights share (`ste`, `binaryconnect`)."""

    init: str = setting(
        "uniform",
        "latent weights start from U(−1,1), Glorot's uniform draw, or as in the Torch7 code",
        choices=INITS,
    )
    clip: float | None = setting(1.0, "latent weights are clipped to ±clip after each step; null: not", above=0)
    optimizer: str = setting("adam", "what moves them", choices=OPTIMIZERS)
    glorot_scale: bool = setting(False, "scale the latent step of each layer by 1/sqrt(1.5/(fan_in+fan_out))")


class LatentMethod(Method):
    """Latent weights W that Adam moves by the gradient of their sign: `W ← clip(W + s_l·(Adam(W, g) − W), −c, c)`.

    `s_l = 1/sqrt(1.5/(fan_in + fan_out))` with `glorot_scale`, else 1. Adam's step is linear in its rate, so the
    scale is a factor on the layer's learning rate. Of `sgd` it is s_l²: it stands for weights ±1/s_l, whose gradient is
    s_l times as large as that of ±1, and 1 is s_l times as far. `adamax` is Kingma & Ba's, with the β of
    its paper. `init=torch7`: dense weights U(−1,1), a convolution's U(±1/√fan_in), and where the last batch norm is an
    ordinary one, its γ from U(0,1). Source: Courbariaux & Hubara 2016, arXiv 1602.02830, and code."""

    def initialize(self) -> None:
        for layer in binary_layers(self.net).values():
            if self.config.init == "glorot":
                nn.init.xavier_uniform_(layer.weight)
                continue
            inner = self.config.init == "torch7" and isinstance(layer, BinaryConv2d)
            bound = 1 / math.sqrt(fans(layer)[0]) if inner else 1.0
            nn.init.uniform_(layer.weight, -bound, bound)
        norms = [m for m in self.net.modules() if isinstance(m, _BatchNorm)]
        if self.config.init == "torch7" and norms and norms[-1] is list(self.net.modules())[-1]:
            nn.init.uniform_(norms[-1].weight)

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        clip = {} if self.config.clip is None else {"clip": self.config.clip}
        power = 2 if self.config.optimizer == "sgd" else 1
        groups = self.groups_of_rest(rest)
        for layer in binary_layers(self.net).values():
            groups.append({"params": [layer.weight], "lr_scale": self.scale_of(layer) ** power, **clip})
        yield self.make_optimizer(groups)

    def groups_of_rest(self, rest: list[Tensor]) -> list[dict[str, Any]]:
        """The groups of what is no binary weight."""
        return [{"params": rest, "lr_scale": 1.0}]

    def scale_of(self, layer: BinaryLinear | BinaryConv2d) -> float:
        """s_l, the factor on the layer's learning rate."""
        return 1 / math.sqrt(1.5 / sum(fans(layer))) if self.config.glorot_scale else 1.0

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.config.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=self.config.lr)
        if self.config.optimizer == "adamax":
            return torch.optim.Adamax(groups, lr=self.config.lr)
        return torch.optim.Adam(groups, lr=self.config.lr, fused=True)
