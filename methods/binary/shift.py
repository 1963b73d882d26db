"""Shift-based arithmetic: rounding to powers of two by the exponent only, and batch norm made of such shifts."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .sign import StraightThrough

STATISTICS = ("inverse_std", "variance")
# floating dtype → integer of its width, explicit bits of its mantissa
_LAYOUT = {
    torch.float64: (torch.int64, 52),
    torch.float32: (torch.int32, 23),
    torch.float16: (torch.int16, 10),
    torch.bfloat16: (torch.int16, 7),
}


def ap2(x: Tensor) -> Tensor:
    """`AP2(x) = sign(x)·2^round(log2|x|)`, the approximate power of two; shape and dtype of x, no gradient.

    Rounding is to the nearest exponent, so `2^k ≤ |x| < 2^(k+1)` goes to `2^k` below `√2·2^k` and to `2^(k+1)` above
    it. √2 is irrational: no float lies on the boundary and there is no tie. The exponent is found in the bits of x, so
    the result is exact, of subnormal numbers too: `y·ap2(x)` equals `ldexp(y, round(log2|x|))` with the sign of x.
    AP2(±0) = ±0, AP2(±∞) = ±∞, AP2(NaN) = NaN, and the numbers whose power of two the dtype lacks (in float32,
    |x| > √2·2^127) become infinite.

    Raises TypeError for a dtype other than float64, float32, float16, bfloat16. Source: Courbariaux & Hubara 2016,
    arXiv 1602.02830, alg. 3."""
    if x.dtype not in _LAYOUT:
        raise TypeError(f"ap2 takes floating-point tensors ({', '.join(map(str, _LAYOUT))}), not {x.dtype}")
    x = x.detach()
    up = 2.0 ** _LAYOUT[x.dtype][1]  # makes a normal number of every subnormal one
    subnormal = x.abs() < torch.finfo(x.dtype).tiny
    y = round_exponent_(torch.where(subnormal, x * up, x))
    return torch.where(x.isnan(), x, torch.where(subnormal, y / up, y))


def round_exponent_(x: Tensor) -> Tensor:
    """`ap2` in place and in two integer operations, for x that is normal, infinite or 0. A subnormal number becomes 0
    or the smallest normal one, NaN nothing sensible."""
    integer, bits = _LAYOUT[x.dtype]
    below = math.isqrt(2 << 2 * bits) - (1 << bits)  # mantissa of the largest number under √2; what is above it carries
    x.view(integer).add_((1 << bits) - 1 - below).bitwise_and_(-1 << bits)
    return x


def ap2_scalar(x: float) -> float:
    """`ap2` of a Python number, finite."""
    mantissa, exponent = math.frexp(abs(x))  # |x| = mantissa·2^exponent with ½ ≤ mantissa < 1
    above = mantissa >= math.sqrt(0.5)  # the double nearest to √½ lies above it
    return math.copysign(math.ldexp(1.0, exponent if above else exponent - 1), x) if x else x


class _ShiftNormalize(torch.autograd.Function):
    """Shift-based batch norm of a training batch: (y, mean, var), the last two of shape (features,)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        wide = x.to(_wide(x))
        others = _others(x)
        mean = wide.mean(others, keepdim=True)
        c = wide - mean
        p = round_exponent_(c.clone())  # AP2(c), but for subnormal c, whose products vanish
        var = (c * p).mean(others, keepdim=True)
        istd = ap2((var + eps).rsqrt())
        scale = istd * ap2(_spread(weight, wide))
        y = c.mul_(scale).add_(_spread(bias, wide))
        ctx.save_for_backward(p, istd, scale)
        statistics = mean.flatten(), var.flatten()
        ctx.mark_non_differentiable(*statistics)
        return y.to(x.dtype), *statistics

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        p, istd, scale = ctx.saved_tensors
        g = grads[0].to(p.dtype)
        others, count = _others(g), g.numel() // g.shape[1]
        sum_g = g.sum(others, keepdim=True)
        sum_gp = (g * p).sum(others, keepdim=True)
        g_x = (g - sum_g / count).sub_(p * (istd * istd * (sum_gp / count))).mul_(scale)
        return g_x.to(grads[0].dtype), (sum_gp * istd).flatten(), sum_g.flatten(), None


class ShiftBatchNorm(nn.Module):
    """Batch norm whose divisions and products are shifts; over (batch, features, …), shape and dtype of the input kept.

    With AP2 of `ap2`, means over all but the feature axis, γ = `weight` and β = `bias`::

        c = x − mean(x),   var = mean(c·AP2(c)),   istd = AP2(1/√(var + ε)),   y = AP2(γ)·c·istd + β

        ∂L/∂x = AP2(γ)·istd·(g − mean(g) − AP2(c)·istd²·mean(g·AP2(c))),   g = ∂L/∂y
        ∂L/∂γ = Σ g·AP2(c)·istd,   ∂L/∂β = Σ g

    the ordinary backward pass with AP2(c) for c, and straight through AP2(γ). Evaluation has no other products than
    `(x − running mean)·(AP2(1/std)·AP2(γ))`, by powers of two or 0. In training every factor is one too, but for the
    batch's 1/M inside a mean (a shift where M is a power of two), the square root per feature whose AP2 is istd, and
    `momentum` in the running statistics. Statistics and sums are taken in float32 whatever x is (float64 for float64).

    Args: as `torch.nn.BatchNorm1d`; `momentum` is the weight of a new batch. `statistic` is what is averaged
    besides the mean: "inverse_std" keeps `running_inverse_std`, of 1/√(var + ε) before its AP2 (Torch7), zero at the
    start, so that an untrained layer evaluates to β; "variance" keeps `running_var`, of var (TensorFlow), one at the
    start. AP2 is applied in evaluation, in both cases.

    Raises ValueError for an unknown statistic, an input of another shape, and in training for one value per feature.

    Differs from the sources: Torch7's running inverse starts at 1 in its layer for dense nets; its last layer has
    ordinary batch norm; its momentum is 1/8. (Both its layers evaluate with running statistics; for some hours a commit
    used those of the test batch.) The TensorFlow code leaves the backward pass to autodiff, which takes each AP2 for a
    constant.
    Source: Courbariaux & Hubara 2016, arXiv 1602.02830, alg. 3; backward and statistics from its Torch7 code."""

    dimensions: ClassVar[tuple[int, ...]] = ()
    running_mean: Tensor
    running_inverse_std: Tensor
    running_var: Tensor

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, *, statistic: str = "inverse_std"
    ) -> None:
        super().__init__()
        if statistic not in STATISTICS:
            raise ValueError(f"statistic must be one of {STATISTICS}, got {statistic!r}")
        self.num_features, self.eps, self.momentum, self.statistic = num_features, eps, momentum, statistic
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        if statistic == "variance":
            self.register_buffer("running_var", torch.ones(num_features))
        else:
            self.register_buffer("running_inverse_std", torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() not in self.dimensions or x.shape[1] != self.num_features:
            axes = " or ".join(map(str, self.dimensions))
            raise ValueError(f"expected {axes} axes, the second of {self.num_features}; got {tuple(x.shape)}")
        return self._train(x) if self.training else self._evaluate(x)

    def _train(self, x: Tensor) -> Tensor:
        if x.numel() == self.num_features:
            raise ValueError(f"training needs more than one value per feature; got {tuple(x.shape)}")
        y, mean, var = _ShiftNormalize.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            _run_on(self.running_mean, mean, self.momentum)
            if self.statistic == "variance":
                _run_on(self.running_var, var, self.momentum)
            else:
                _run_on(self.running_inverse_std, (var + self.eps).rsqrt(), self.momentum)
        return y

    def _evaluate(self, x: Tensor) -> Tensor:
        stored = self.statistic == "inverse_std"
        inverse_std = self.running_inverse_std if stored else (self.running_var + self.eps).rsqrt()
        gamma = StraightThrough.apply(self.weight, ap2(self.weight))
        wide = x.to(_wide(x))
        y = (wide - _spread(self.running_mean, wide)) * _spread(ap2(inverse_std) * gamma, wide)
        return (y + _spread(self.bias, wide)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, statistic={self.statistic}"


class ShiftBatchNorm1d(ShiftBatchNorm):
    """`ShiftBatchNorm` over (batch, features) or (batch, features, length)."""

    dimensions = (2, 3)


class ShiftBatchNorm2d(ShiftBatchNorm):
    """`ShiftBatchNorm` over (batch, channels, h, w)."""

    dimensions = (4,)


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _others(x: Tensor) -> tuple[int, ...]:
    return 0, *range(2, x.dim())


def _spread(feature: Tensor, like: Tensor) -> Tensor:
    """(features,) in a shape and dtype that meet `like`, whose second axis are the features."""
    return feature.to(like.dtype).view(-1, *[1] * (like.dim() - 2))


def _run_on(running: Tensor, value: Tensor, momentum: float) -> None:
    running.lerp_(value.to(running.dtype), momentum)
