"""ReSTE: the derivative of sign(z)·|z|^(1/o) as the sign's, o rising while the net trains (Wu 2023)."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from configs.settings import setting

from .annealed import AnnealedConfig, AnnealedMethod
from .binary.layers import Parts
from .binary.sign import Quantizer, SlopeGradient, compute_dtype
from .optim.schedule import Schedule

NEAR, FAR = 0.1, 1.5  # within ±NEAR the slope is that of the chord; beyond ±FAR, t in the paper, it is 0


@dataclass
class Config(AnnealedConfig):
    name: str = "reste"
    root_end: float = setting(3.0, "o_end: root of the pseudo-gradient at the end of the run; 1 at its start", low=1)


def root_slope(z: Tensor, o: Tensor) -> Tensor:
    """Slope of `sign(z)·|z|^(1/o)`: `(1/o)·|z|^((1 − o)/o)` where .1 < |z| ≤ 1.5, that of its chord, .1^(1/o)/.1,
    where |z| ≤ .1, and 0 beyond 1.5. At o = 1 it is 1{|z| ≤ 1.5}."""
    size = z.abs()
    slope = torch.where(size <= NEAR, NEAR ** (1 / o - 1), size.clamp_min(NEAR) ** (1 / o - 1) / o)
    return slope * (size <= FAR)


class RootSign(Quantizer):
    """`sign(z)` with `root_slope` as its gradient; o is the buffer `root`."""

    root: Tensor

    def __init__(self, root: float) -> None:
        super().__init__()
        self.register_buffer("root", torch.tensor(float(root)), persistent=False)

    def quantize(self, x: Tensor) -> Tensor:
        return SlopeGradient.apply(x, self.root, root_slope, compute_dtype(x))


class ReSTE(AnnealedMethod):
    """the derivative of sign(z)|z|^(1/o) in place of the sign's, nearer to it as o rises

    Forward `w = sign(W)`, `a = sign(x)`; backward for both by `root_slope`, with
    `o = 1 + (o_end − 1)·(1 − cos(πe/2E))` at epoch e of E. Latent weights are not clipped: beyond ±1.5 they move by
    weight decay only. Defaults: those of its CIFAR-10 script, He's draw for the start.
    Source: Wu et al. 2023, arXiv 2308.06689, and code (DravenALG/ReSTE). Differs from it: weights are not scaled by the
    layer's mean|W|, which batch norm undoes; o moves at every step by default (`schedule_every=epoch` in the presets);
    rates do not warm up by default."""

    Config = Config
    annealed: ClassVar[tuple[str, ...]] = ("root",)

    def parts(self) -> Parts:
        return Parts(partial(RootSign, 1.0), partial(RootSign, 1.0))

    def schedules(self) -> dict[str, Schedule]:
        rise = self.config.root_end - 1
        return super().schedules() | {"root": lambda t: 1 + rise * (1 - math.cos(math.pi * t / 2))}
