"""Probabilistic Bop: each weight a loaded coin whose probability Bop's normalized moment moves. A reconstruction."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from configs.settings import setting

from .base import MethodConfig
from .binary.layers import Parts, binary_layers
from .binary.random_weights import Coin
from .binary.sign import ActivationSign
from .optim import PBop
from .optim.schedule import SCHEDULES, Schedule
from .sampled import SampledMethod


@dataclass
class Config(MethodConfig):
    name: str = "pbop"
    scaler: float = setting(0.1, "size of a probability's move at |m| = √v", low=0)
    scaler_end: float = setting(0.01, "its value at the end of the schedule", low=0)
    scaler_schedule: str = setting("exponential", "how the scaler goes from scaler to scaler_end", choices=SCHEDULES)
    gamma: float = setting(0.1, "γ: the weight of a new gradient in m", low=0, high=1)
    gamma_end: float = setting(0.1, "its value at the end of the schedule", low=0, high=1)
    gamma_schedule: str = setting("constant", "how γ goes from gamma to gamma_end", choices=SCHEDULES)
    sigma: float = setting(1e-3, "σ: the weight of a new squared gradient in v", low=0, high=1)
    sigma_end: float = setting(1e-3, "its value at the end of the schedule", low=0, high=1)
    sigma_schedule: str = setting("constant", "how σ goes from sigma to sigma_end", choices=SCHEDULES)
    p_min: float = setting(1e-3, "how near to 0 or 1 a probability may come", low=0, high=0.5)
    spread: float = setting(0.5, "initial probabilities are U(½ − spread/2, ½ + spread/2)", low=0, high=1)
    draws: int = setting(16, "draws whose softmax is averaged for the record's draws_error", low=1)


class PBopMethod(SampledMethod):
    """each weight a loaded coin, its probability moved by Bop's normalized moment times a scaler (reconstruction)

    `p ← clip(p − scaler·m/(√v + ε), p_min, 1 − p_min)` from gradients at weights drawn once a step. A reconstruction:
    of the thesis (Suárez-Ramírez 2020) only the abstract is public. The record's `error` is of `sign(2p − 1)`."""

    Config = Config
    reconstruction: ClassVar[bool] = True

    def parts(self) -> Parts:
        return Parts(Coin, ActivationSign)

    def initialize(self) -> None:
        half = self.config.spread / 2
        for layer in binary_layers(self.net).values():
            nn.init.uniform_(layer.weight, 0.5 - half, 0.5 + half)

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        c = self.config
        # check_finite: as in Bop
        yield PBop(binary, c.gamma, c.sigma, c.scaler, c.p_min, compiled=self.compiled, check_finite=False)
        yield torch.optim.Adam([{"params": rest}], lr=c.lr, fused=True)

    def schedules(self) -> dict[str, Schedule]:
        return {name: self.schedule(name) for name in ("lr", "gamma", "sigma", "scaler")}
