"""ReCU: weights of the distribution's tails are clamped, so that they can change their sign again (Xu 2021)."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from configs.settings import setting

from .annealed import AnnealedConfig, AnnealedMethod
from .binary.centred import CentredSign, filter_mean, within
from .binary.layers import Parts
from .binary.sign import Quantizer, SlopeGradient, StraightThrough, approx_sign_slope, compute_dtype, sign
from .optim.schedule import Schedule

EPS = 1e-5  # of both variances, as in the code


@dataclass
class Config(AnnealedConfig):
    name: str = "recu"
    weight_decay: float = setting(5e-4, "λ: λ·w is added to the gradient of w (1e-4 on ImageNet)", low=0)
    quantile: float = setting(
        0.85, "τ: a weight is clamped at this quantile of a Laplace distribution", low=0.5, below=1
    )
    quantile_end: float = setting(0.99, "its value at the end of the run", low=0.5, below=1)


def deviation(centred: Tensor) -> Tensor:
    """√(var + 1e-5) of each filter or example whose mean was subtracted, with n − 1; it broadcasts over `centred`."""
    variance = centred.square().sum(within(centred), keepdim=True) / max(centred[0].numel() - 1, 1)
    return (variance + EPS).sqrt()


class RectifiedClampSign(CentredSign):
    """`w = sign(W − mean_c)`. Gradient: 1{|W₁| ≤ Q} to `W₁ = 2√2·(W − mean_c)/√(var_c + 1e-5)`, and from there through
    variance and mean to W.

    c is a filter, its variance that with n − 1, and `Q = −ln(2 − 2τ)·mean|W₁|` of the whole layer, without a gradient:
    the quantiles 1 − τ and τ of a Laplace distribution, of which mean|W₁| is the scale. τ is the buffer `quantile`."""

    quantile: Tensor

    def __init__(self, quantile: float) -> None:
        super().__init__()
        self.register_buffer("quantile", torch.tensor(float(quantile)), persistent=False)

    def quantize(self, x: Tensor) -> Tensor:
        centred = self.mean(x)
        standardized = centred * (2 * math.sqrt(2)) / deviation(centred)
        bound = (-standardized.abs().mean() * (2 - 2 * self.quantile).log()).detach()
        clamped = standardized.clamp(-bound, bound)
        return StraightThrough.apply(clamped, sign(centred, compute_dtype(x)))


class StandardizedApproxSign(Quantizer):
    """`a = sign(x)`. Gradient in training: the triangle max(0, 2 − 2|x₁|) to `x₁ = x/√(var + 1e-5)`, var that of each
    example (with n − 1), and from there to x."""

    def quantize(self, x: Tensor) -> Tensor:
        if not self.training:
            return sign(x, compute_dtype(x))
        return SlopeGradient.apply(x / deviation(x - filter_mean(x)), None, approx_sign_slope, compute_dtype(x))


class ReCU(AnnealedMethod):
    """standardized weights, clamped at a quantile that rises while they train, so that tails come back

    Forward `w = sign(W − mean_c)`, `a = sign(x)` whatever τ is; clamp and τ shape the gradient only: τ = .85 masks a
    third of weights that are normally distributed, τ = .99 next to none. At epoch e of E
    `τ = τ₀ + (τ₁ − τ₀)·(exp(e/E) − 1)/(exp(1) − 1)`. Defaults: those of its CIFAR-10 script, He's draw for the start.
    Source: Xu et al. 2021, arXiv 2103.12369, and code (z-hXu/ReCU). Differs from it: no learned scale of each output
    channel, which batch norm undoes; τ moves at every step by default (`schedule_every=epoch` in the presets); rates do
    not warm up by default."""

    Config = Config
    annealed: ClassVar[tuple[str, ...]] = ("quantile",)

    def parts(self) -> Parts:
        return Parts(partial(RectifiedClampSign, self.config.quantile), StandardizedApproxSign)

    def schedules(self) -> dict[str, Schedule]:
        start, end = self.config.quantile, self.config.quantile_end
        return super().schedules() | {"quantile": lambda t: start + (end - start) * math.expm1(t) / math.expm1(1)}
