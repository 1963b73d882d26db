"""IR-Net: standardized weights, and a pseudo-gradient that sharpens from the identity to the sign (Qin 2020)."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from configs.settings import setting

from .annealed import AnnealedConfig, AnnealedMethod
from .binary.centred import CentredSign
from .binary.layers import Parts
from .binary.sign import Quantizer, SlopeGradient, compute_dtype
from .optim.schedule import SCHEDULES, Schedule


@dataclass
class Config(AnnealedConfig):
    name: str = "irnet"
    steepness: float = setting(0.1, "T_min: where t of the error decay estimator starts (0.001 on ResNet-20)", above=0)
    steepness_end: float = setting(10.0, "T_max: its value at the end of the schedule", above=0)
    steepness_schedule: str = setting("exponential", "how t goes from T_min to T_max", choices=SCHEDULES)


def error_decay_slope(x: Tensor, t: Tensor) -> Tensor:
    """`k·t·(1 − tanh²(t·x))`, `k = max(1/t, 1)`: the derivative of k·tanh(t·x).

    While t < 1 its height k·t is 1, and it is nearly the identity's; from then on it has height t and width 1/t."""
    return t.clamp_min(1) * (1 - (t * x).tanh().square())


class _Steep(Quantizer):
    """A quantizer with the buffer `steepness`, t."""

    steepness: Tensor

    def __init__(self, steepness: float) -> None:
        super().__init__()
        self.register_buffer("steepness", torch.tensor(float(steepness)), persistent=False)


def masked_error_decay_slope(x: Tensor, t: Tensor) -> Tensor:
    """`error_decay_slope` where `|x| ≤ 1`, and 0 elsewhere: with the hard tanh before the sign."""
    return error_decay_slope(x, t) * (x.abs() <= 1)


class ErrorDecaySign(_Steep):
    """`a = sign(hardtanh(x))` with `masked_error_decay_slope` as its gradient."""

    def quantize(self, x: Tensor) -> Tensor:
        return SlopeGradient.apply(x, self.steepness, masked_error_decay_slope, compute_dtype(x))


class StandardizedSign(_Steep, CentredSign):
    """`w = sign(Ŵ)`, `Ŵ = (W − mean_c)/std_c` of each filter c (std with n − 1), with the same gradient to Ŵ, and from
    there through mean and std to W."""

    def quantize(self, x: Tensor) -> Tensor:
        centred = self.mean(x)
        n = centred[0].numel()
        variance = centred.flatten(1).square().sum(1) / max(n - 1, 1)
        # equal weights are divided by 1: the root of 0 has no derivative
        deviation = torch.where(variance > 0, variance, 1.0).sqrt().view(-1, *[1] * (x.dim() - 1))
        return SlopeGradient.apply(centred / deviation, self.steepness, error_decay_slope, compute_dtype(x))


class IRNet(AnnealedMethod):
    """standardized weights, and a pseudo-gradient that sharpens from the identity to the sign

    Forward `w = sign(W − mean_c)`, `a = sign(x)`. Backward, for weights (on Ŵ) and activations, `k·t·(1 − tanh²(t·))`
    with `t = T_min·(T_max/T_min)^(e/E)`, `k = max(1/t, 1)`; for activations where `|x| ≤ 1`, as its nets have a hard
    tanh before every sign, which most of ours do not. Defaults: T_min and T_max of its VGG script, the rate of
    ResNet-20's, He's draw for the start. Source: Qin et al. 2020, arXiv 1909.10788, and code (htqin/IR-Net). Differs
    from it: weights are ±1 and not ±2^s, s = round(log₂ mean_c|Ŵ|), since batch norm undoes a scale; t moves at every
    step by default (`schedule_every=epoch` in the presets)."""

    Config = Config
    annealed: ClassVar[tuple[str, ...]] = ("steepness",)

    def parts(self) -> Parts:
        t = self.config.steepness
        return Parts(partial(StandardizedSign, t), partial(ErrorDecaySign, t))

    def schedules(self) -> dict[str, Schedule]:
        return super().schedules() | {"steepness": self.schedule("steepness")}
