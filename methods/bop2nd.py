"""Bop2ndOrder: Bop whose moving average is normalized by the gradient's second raw moment."""

import math
from dataclasses import dataclass

from torch import Tensor

from configs.settings import setting

from .bitflip import BitFlipConfig, BitFlipMethod
from .optim import Bop2ndOrder
from .optim.bop2nd import CORRECTIONS, SCOPES
from .optim.schedule import SCHEDULES, Schedule

UNITS = ("one", "root_gamma")


@dataclass
class Config(BitFlipConfig):
    name: str = "bop2nd"
    threshold: float = setting(1e-6, "τ: a weight flips where w·m/√v passes it", low=0)
    threshold_end: float = setting(1e-8, "its value at the end of the schedule", low=0)
    gamma: float = setting(1e-7, "γ, adaptivity rate: the weight of a new gradient in m", low=0, high=1)
    sigma: float = setting(1e-3, "σ: the weight of a new squared gradient in v", low=0, high=1)
    sigma_end: float = setting(1e-2, "its value at the end of the schedule", low=0, high=1)
    sigma_schedule: str = setting("constant", "how σ goes from sigma to sigma_end", choices=SCHEDULES)
    correction: str = setting("biased", "for the moments' start at zero, see Bop2ndOrder", choices=CORRECTIONS)
    scope: str = setting("weight", "v of each weight, or its mean over the layer or the net (ours)", choices=SCOPES)
    threshold_unit: str = setting(
        "one", "τ as it is, or in units of √γ, which noise gives m/√v, at every step (ours)", choices=UNITS
    )


class Bop2ndMethod(BitFlipMethod):
    """Bop normalized by a second raw moment; biased, unbiased or Adam's correction; schedules on τ, γ, σ

    `m ← (1−γ)m + γg`, `v ← (1−σ)v + σg²`, flip where `w·m/(√v + ε) > τ`. Defaults: the paper's hyperparameter study;
    its CIFAR-10 schedules are the preset `+experiment=bop2nd_cifar10`. Source: Suárez-Ramírez et al. 2021,
    arXiv 2104.05124."""

    Config = Config

    def schedules(self) -> dict[str, Schedule]:
        schedules = super().schedules() | {"sigma": self.schedule("sigma")}
        if self.config.threshold_unit == "root_gamma":
            factor, gamma = schedules["threshold"], schedules["gamma"]
            schedules["threshold"] = lambda t: factor(t) * math.sqrt(gamma(t))
        return schedules

    def make_flipper(self, binary: list[Tensor]) -> Bop2ndOrder:
        c = self.config
        return Bop2ndOrder(
            binary,
            gamma=c.gamma,
            sigma=c.sigma,
            threshold=c.threshold,
            correction=c.correction,
            scope=c.scope,
            compiled=self.compiled,
            check_finite=False,  # as in Bop
        )

    def flip_moment(self, weight: Tensor, index: Tensor) -> Tensor:
        """`(m/a)/(√(v/b) + ε)`, with the correction of the moments."""
        state, group = self.flipper.state[weight], self.flipper.param_groups[0]
        a, b = Bop2ndOrder.divisors(group, state)
        return state["m"].take(index) / a / ((state["v"].take(index) / b).sqrt() + group["eps"])
