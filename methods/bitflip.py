"""Weights that are ±1 from the start and flipped on a threshold, without a latent weight."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from configs.settings import setting

from .base import Method, MethodConfig
from .binary.layers import Parts, binary_layers
from .binary.sign import PSEUDO_GRADIENTS, Identity, sign
from .optim.base import MomentOptimizer
from .optim.composite import parts_without_decay
from .optim.schedule import SCHEDULES, Schedule


@dataclass
class BitFlipConfig(MethodConfig):
    """The settings that Bop and Bop2ndOrder share. `lr` and its schedule are those of Adam, which trains batch norm."""

    threshold: float = setting(1e-8, "τ: a weight flips where w·m passes it", low=0)
    threshold_end: float = setting(1e-8, "its value at the end of the schedule", low=0)
    threshold_schedule: str = setting("constant", "how τ goes from threshold to threshold_end", choices=SCHEDULES)
    gamma: float = setting(1e-4, "γ, adaptivity rate: the weight of a new gradient in m", low=0, high=1)
    gamma_end: float = setting(1e-5, "its value at the end of the schedule", low=0, high=1)
    gamma_schedule: str = setting("constant", "how γ goes from gamma to gamma_end", choices=SCHEDULES)
    adam_eps: float = setting(1e-8, "ε of Adam (1e-7 in Keras)", above=0)
    weight_decay: float = setting(
        0.0, "λ: λ·w is added to the gradient of real weights w, not of biases and batch norm", low=0
    )
    activation_gradient: str = setting(
        "hardtanh", "∂a/∂x: 1{|x| ≤ 1}, 1, or the triangle max(0, 2 − 2|x|)", choices=PSEUDO_GRADIENTS
    )


class BitFlipMethod(Method):
    """Binary layers whose weights are ±1 from the start and flipped by `flipper`; Adam for the rest.

    Initial weights are the signs of a Glorot draw. Hidden activations as in `ste`: sign with the hard-tanh gradient
    by default."""

    latent: ClassVar[bool] = False
    flips_bits: ClassVar[bool] = True
    flipper: MomentOptimizer

    def parts(self) -> Parts:
        return Parts(lambda: Identity(binary=True), PSEUDO_GRADIENTS[self.config.activation_gradient])

    def initialize(self) -> None:
        for layer in binary_layers(self.net).values():
            nn.init.xavier_uniform_(layer.weight)
            layer.weight.copy_(sign(layer.weight))

    def make_flipper(self, binary: list[Tensor]) -> MomentOptimizer:
        raise NotImplementedError

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        self.flipper = self.make_flipper(binary)
        yield self.flipper
        c, groups = self.config, [{"params": rest}]
        if c.weight_decay and rest:
            groups = parts_without_decay({"params": rest})
        yield torch.optim.Adam(groups, lr=c.lr, eps=c.adam_eps, weight_decay=c.weight_decay, fused=True)

    def schedules(self) -> dict[str, Schedule]:
        return {name: self.schedule(name) for name in ("lr", "threshold", "gamma")}

    def flip_moment(self, weight: Tensor, index: Tensor) -> Tensor:
        """What the rule compares with τ, for the weights at the positions `index` of the flattened weight: a weight
        flips where this has the weight's sign and is larger than τ."""
        return self.flipper.state[weight]["m"].take(index)

    def threshold(self) -> float:
        """τ of the next step; at least 1e-30, so that it can be divided by."""
        return max(self.scheduled["threshold"], 1e-30)
