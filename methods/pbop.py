"""Probabilistic Bop: each weight a loaded coin whose probability Bop's normalized moment moves. A reconstruction."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from configs.settings import setting

from .base import Method, MethodConfig
from .binary.layers import Parts, binary_layers
from .binary.sign import ActivationSign, Quantizer, StraightThrough, compute_dtype, sign
from .optim import PBop
from .optim.schedule import KINDS, Curve


@dataclass
class Config(MethodConfig):
    name: str = "pbop"
    scaler: float = setting(0.1, "size of a probability's move at |m| = √v", low=0)
    scaler_end: float = setting(0.01, "its value at the end of the schedule", low=0)
    scaler_schedule: str = setting("exponential", "how the scaler goes from scaler to scaler_end", choices=KINDS)
    gamma: float = setting(0.1, "γ: the weight of a new gradient in m", low=0, high=1)
    gamma_end: float = setting(0.1, "its value at the end of the schedule", low=0, high=1)
    gamma_schedule: str = setting("constant", "how γ goes from gamma to gamma_end", choices=KINDS)
    sigma: float = setting(1e-3, "σ: the weight of a new squared gradient in v", low=0, high=1)
    sigma_end: float = setting(1e-3, "its value at the end of the schedule", low=0, high=1)
    sigma_schedule: str = setting("constant", "how σ goes from sigma to sigma_end", choices=KINDS)
    p_min: float = setting(1e-3, "how near to 0 or 1 a probability may come", low=0, high=0.5)
    spread: float = setting(0.5, "initial probabilities are U(½ − spread/2, ½ + spread/2)", low=0, high=1)
    draws: int = setting(16, "draws whose softmax is averaged for the record's draws_error", low=1)


class Coin(Quantizer):
    """`w = +1` with probability p, else −1, drawn at every forward pass in training; in evaluation `sign(2p − 1)`.

    `drawing` makes evaluation draw as well. The gradient ∂L/∂w at the drawn weights reaches p unchanged."""

    drawing = False

    def quantize(self, x: Tensor) -> Tensor:
        if self.training or self.drawing:
            return StraightThrough.apply(x, -sign(torch.rand_like(x) - x, compute_dtype(x)))
        return sign(self.mean(x), compute_dtype(x))

    def mean(self, x: Tensor) -> Tensor:
        return 2 * x - 1


class PBopMethod(Method):
    """each weight a loaded coin, its probability moved by Bop's normalized moment times a scaler (reconstruction)

    `p ← clip(p − scaler·m/(√v + ε), p_min, 1 − p_min)` from gradients at weights drawn once a step. A reconstruction:
    of the thesis (Suárez-Ramírez 2020) only the abstract is public. The record's `error` is of `sign(2p − 1)`;
    `draws_error` of the softmax averaged over `draws` nets drawn from p."""

    Config = Config
    reconstruction: ClassVar[bool] = True
    averaged = 0

    def parts(self) -> Parts:
        return Parts(Coin, ActivationSign)

    def initialize(self) -> None:
        half = self.config.spread / 2
        for layer in binary_layers(self.net).values():
            nn.init.uniform_(layer.weight, 0.5 - half, 0.5 + half)

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        c = self.config
        yield PBop(binary, c.gamma, c.sigma, c.scaler, c.p_min, compiled=self.compiled)
        yield torch.optim.Adam(rest, lr=c.lr, fused=True)

    def curves(self) -> dict[str, Curve]:
        return {name: self.curve(name) for name in ("lr", "gamma", "sigma", "scaler")}

    def predict(self, x: Tensor) -> Tensor:
        if not self.averaged:
            return super().predict(x)
        return torch.stack([self.net(x).float().softmax(1) for _ in range(self.averaged)]).mean(0).log()

    def variants(self) -> Iterator[tuple[str, AbstractContextManager[None]]]:
        yield from super().variants()
        yield "draws", self._averaging(self.config.draws)

    @contextmanager
    def _averaging(self, draws: int) -> Iterator[None]:
        coins = [m for m in self.net.modules() if isinstance(m, Coin)]
        try:
            self.averaged = draws
            for coin in coins:
                coin.drawing = True
            yield
        finally:
            self.averaged = 0
            for coin in coins:
                coin.drawing = False
