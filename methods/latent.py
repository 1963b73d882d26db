"""Latent weights: real values behind the binary ones, moved by the gradient of their sign and clipped."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from configs.settings import setting

from .base import Method, MethodConfig
from .binary.layers import BinaryConv2d, BinaryLinear, binary_layers, fans

INITS = ("uniform", "glorot")


@dataclass
class LatentConfig(MethodConfig):
    """What the methods with clipped latent weights share (`ste`, `binaryconnect`)."""

    init: str = setting("uniform", "latent weights start from U(−1,1), or Glorot's uniform draw", choices=INITS)
    clip: float = setting(1.0, "latent weights are clipped to ±clip after each step", above=0)
    glorot_scale: bool = setting(False, "scale the latent step of each layer by 1/sqrt(1.5/(fan_in+fan_out))")


class LatentMethod(Method):
    """Latent weights W that Adam moves by the gradient of their sign: `W ← clip(W + s_l·(Adam(W, g) − W), −c, c)`.

    `s_l = 1/sqrt(1.5/(fan_in + fan_out))` with `glorot_scale`, else 1. Adam's step is linear in its rate, so the
    scale is a factor on the layer's learning rate. Source: Courbariaux & Hubara 2016, arXiv 1602.02830, and code."""

    def initialize(self) -> None:
        for layer in binary_layers(self.net).values():
            if self.config.init == "uniform":
                nn.init.uniform_(layer.weight, -1, 1)
            else:
                nn.init.xavier_uniform_(layer.weight)

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        groups: list[dict[str, Any]] = [{"params": rest, "lr_scale": 1.0}]
        for layer in binary_layers(self.net).values():
            groups.append({"params": [layer.weight], "lr_scale": self.scale_of(layer), "clip": self.config.clip})
        yield self.make_optimizer(groups)

    def scale_of(self, layer: BinaryLinear | BinaryConv2d) -> float:
        """s_l, the factor on the layer's learning rate."""
        return 1 / math.sqrt(1.5 / sum(fans(layer))) if self.config.glorot_scale else 1.0

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, lr=self.config.lr, fused=True)
