"""P(S ≥ 0) of a sum S of independent ±1 terms (Poisson-binomial, on its lattice), and its gradient, in several ways.

Throughout, `mu` (…, N) holds the terms' means in [−1, 1], so that term i is +1 with probability v_i = (1 + μ_i)/2, and
K counts the terms that are +1: S = 2K − N. S has the parity of N and moves in steps of 2, so S = 0 occurs only for
even N, and is part of the event. Source: slides, Pavlyuchenkov 2023; the adaptive lattice, the stable solve and the
closures of the central equations are ours.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .poisson_binomial_gradient import CLOSURES, SOLUTIONS, deciding_mass, threshold

WAYS = ("exact", "adaptive", "clt", "nominal")
GRADIENTS = (*SOLUTIONS, "autograd")

CHUNK = 2**20  # numbers in the largest temporary tensor of a chunk of rows
LEAST_VARIANCE = 1e-6  # below it a sum counts as certain


def prob_sum_nonnegative(
    mu: Tensor, how: str = "adaptive", *, gradient: str = "solve", closure: str = "neighbour"
) -> Tensor:
    """`z = P(S ≥ 0)` for means `mu` (…, N) → (…), differentiable once, in mu's dtype and on its device.

    | how | computes | work per row | error in z (N ≤ 800) |
    |---|---|---|---|
    | exact | dynamic programming over the terms | N² | rounding |
    | adaptive | the characteristic function at points of a lattice | N × (12 … N/4) | 1e-8, in float32 3e-5 |
    | clt | Φ((m + s)/√Var), normal with continuity correction | N | `clt_error` |
    | nominal | Φ((m + s)/√N) | N | is not P(S ≥ 0) |

    m = Σ μ_i, Var = Σ (1 − μ_i²); s puts the middle between event and no event at 0: it is 1 for even N (S = 0 and −2
    are the neighbours) and 0 for odd N (1 and −1). "nominal" has the variance of N fair coins whatever the means: it is
    as monotone in m, and keeps a slope where the terms are nearly certain and all others turn into steps.

    `gradient` is how "exact" gets ∂z/∂v_i, the probability that the sum of the other terms stands where term i decides
    (at −1 for even N, at 0 for odd N), half of which is ∂z/∂μ_i: by `deciding_mass`, or "autograd", back through the
    dynamic programming. "adaptive" has the same from its lattice, "clt" and "nominal" their own from autograd.

    Memory: rows go in chunks of CHUNK // (work per row) rows, at least one; a chunk holds up to 8 × CHUNK numbers (in
    float64 64 MiB), in addition to tensors of mu's size. Half precision is computed in float32. Means are not checked
    to be in [−1, 1]. ValueError for an unknown name, and for N = 0."""
    _check("how", how, WAYS)
    _check("gradient", gradient, GRADIENTS)
    _check("closure", closure, CLOSURES)
    if mu.dim() == 0 or mu.shape[-1] == 0:
        raise ValueError(f"a sum needs terms: means of shape (…, N) with N ≥ 1, not {tuple(mu.shape)}")
    N = mu.shape[-1]
    dtype = mu.dtype
    if dtype in (torch.bfloat16, torch.float16):
        mu = mu.float()
    if how in ("clt", "nominal"):
        mean = mu.sum(-1)
        return (normal_prob(mean, variance_of(mu), N) if how == "clt" else nominal_prob(mean, N)).to(dtype)
    rows = mu.reshape(-1, N)
    if how == "exact" and gradient == "autograd":
        parts = rows.split(max(1, CHUNK // N**2))
        z = torch.cat([checkpoint(_through_distribution, part, use_reentrant=False) for part in parts])
    else:
        compute = partial(_exact, gradient=gradient, closure=closure) if how == "exact" else _adaptive
        z = _WithGradient.apply(rows, compute, torch.is_grad_enabled() and rows.requires_grad)
    return z.reshape(mu.shape[:-1]).to(dtype)


def variance_of(mu: Tensor) -> Tensor:
    """Variance of S: `Σ (1 − μ_i²)` over the last dimension."""
    return ((1 - mu) * (1 + mu)).sum(-1)


def normal_prob(mean: Tensor, variance: Tensor, N: int) -> Tensor:
    """`Φ((m + s)/√Var)` from mean and variance of a sum of N terms. A variance below LEAST_VARIANCE counts as that: the
    result is then a step, and at |m + s| ≥ 1 a certain sum is well away from it."""
    return normal_cdf((mean + even(N)) * variance.clamp_min(LEAST_VARIANCE).rsqrt())


def clt_error(variance: Tensor) -> Tensor:
    """No smaller than |Φ((m + s)/√Var) − P(S ≥ 0)| of any sum with this variance: `min(0.11, 0.16/√Var)`, and `0.3·Var`
    where Var ≤ 0.05.

    The former was found over binomial sums of up to 800 terms at every threshold, whose skewness is the largest for
    their variance: they come to .107, and to .155/√Var, with nearly certain terms of one sign; sums without skewness do
    better by far. The latter: all terms but for a probability of Σ (1 − |μ_i|)/2 ≤ .26·Var are what they nearly are."""
    variance = variance.clamp_min(0)
    return torch.where(variance <= 0.05, 0.3 * variance, (0.16 * variance.rsqrt()).clamp_max(0.11))


def nominal_prob(mean: Tensor, N: int, spread: float = 1.0) -> Tensor:
    """`Φ((m + s)/(κ√N))` from the mean of a sum of N terms, κ = `spread`: how much wider than fair coins'."""
    return normal_cdf((mean + even(N)) / (spread * math.sqrt(N)))


def normal_cdf(x: Tensor) -> Tensor:
    """Φ, by the error function: relative precision is lost below, absolute is not."""
    return 0.5 * (1 + torch.erf(x * math.sqrt(0.5)))


def even(N: int) -> int:
    """s = 1 for even N, else 0."""
    return 1 - N % 2


def distribution(mu: Tensor) -> Tensor:
    """P(K = 0), …, P(K = N) of means (rows, N), as (N + 1, rows). `y_k ← (1 − v)·y_k + v·y_{k−1}`, term by term."""
    rows, N = mu.shape
    v = ((1 + mu) / 2).T.contiguous()
    y, other = mu.new_zeros(2, N + 2, rows)  # the row of zeros in front is y_{−1}
    y[1] = 1
    for i in range(N):
        torch.lerp(y[1 : i + 3], y[: i + 2], v[i], out=other[1 : i + 3])
        y, other = other, y
    return y[1:]


def _through_distribution(mu: Tensor) -> Tensor:
    """The dynamic programming of `distribution`, recorded for autograd."""
    N = mu.shape[1]
    v = ((1 + mu) / 2).T
    y = torch.ones_like(v[:1])
    for i in range(N):
        y = torch.lerp(F.pad(y, (0, 0, 0, 1)), F.pad(y, (0, 0, 1, 0)), v[i])
    return y[threshold(N) + 1 :].sum(0)


def _exact(mu: Tensor, need_gradient: bool, gradient: str, closure: str) -> tuple[Tensor, Tensor | None]:
    """(z, ∂z/∂μ) of rows of means."""
    N = mu.shape[1]
    z, slope = mu.new_empty(len(mu)), torch.empty_like(mu) if need_gradient else None
    size = max(1, CHUNK // (3 * N))
    for start in range(0, len(mu), size):
        part = slice(start, start + size)
        y = distribution(mu[part])
        z[part] = y[threshold(N) + 1 :].sum(0)
        if slope is not None:
            slope[part] = deciding_mass(mu[part], y, gradient, closure) / 2
    return z, slope


def _adaptive(mu: Tensor, need_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """(z, ∂z/∂μ) of rows of means, from `φ(t) = E[e^{itS}] = Π (cos t + i μ_i sin t)`.

    On a lattice of L points around the threshold, those with S ≥ 0 add up to
    `½ + (2/L) Σ Im(φ(t_j) e^{i s t_j})/sin t_j` over odd j < L/2, with t_j = πj/L and s = `even(N)`. L is
    min(N + 2, 11 sd + 24) rounded up to a multiple of 4: what lies outside folds into it. The sum ends at
    sin t = 6.5/sd, for |φ(t)| ≤ exp(−(sd·sin t)²/2). Where |mean| exceeds 5.5 sd + 12, z is 0 or 1."""
    N = mu.shape[1]
    mean, sd = mu.sum(1), variance_of(mu).clamp_min(0).sqrt()
    lattice = 4 * ((11 * sd.nan_to_num() + 24).clamp_max(N + 2) / 4).ceil()
    reach = (6.5 / sd.nan_to_num()).clamp_max(1).asin() / math.pi * lattice  # the largest j
    counts = torch.minimum(lattice / 4, ((reach + 1) / 2).ceil()).masked_fill(mean.abs() > 5.5 * sd + 12, 0)
    counts, order = counts.long().sort(descending=True)
    z, slope = (mean > 0).to(mu.dtype), torch.zeros_like(mu) if need_gradient else None
    start, end = 0, int((counts > 0).sum())
    while start < end:
        points = int(counts[start])
        part = slice(start, min(end, start + max(1, CHUNK // (points * N))))
        start, rows = part.stop, order[part]
        L, means = lattice[rows, None], mu[rows, None]
        j = 2 * torch.arange(points, dtype=mu.dtype, device=mu.device) + 1
        t = math.pi * j / L
        cos, sin = t.cos(), t.sin()
        factors = torch.complex(cos[:, :, None].expand(-1, -1, N), sin[:, :, None] * means)
        weight = 2 / L * (j < 2 * counts[part, None])
        phi = weight * _product(factors) * torch.polar(torch.ones_like(t), even(N) * t)
        z[rows] = (0.5 + (phi.imag / sin).sum(1)).clamp(0, 1)
        if slope is not None:  # φ without term i is φ over its factor
            others = (phi.real * cos)[:, :, None] + (phi.imag * sin)[:, :, None] * means
            others /= (cos * cos)[:, :, None] + (sin * sin)[:, :, None] * (means * means)
            slope[rows] = others.sum(1)
    return z, slope


def _product(x: Tensor) -> Tensor:
    """Product over the last dimension, in pairs: log2 N roundings of each factor rather than N."""
    while (n := x.shape[-1]) > 1:
        pairs = x[..., : n // 2] * x[..., n // 2 : n // 2 * 2]
        if n % 2:
            pairs[..., 0] *= x[..., -1]
        x = pairs
    return x[..., 0]


class _WithGradient(torch.autograd.Function):
    """Computes z and, in the same pass, ∂z/∂μ, which is all that is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, mu: Tensor, compute: Callable[..., Any], need_gradient: bool) -> Tensor:
        z, slope = compute(mu, need_gradient)
        ctx.save_for_backward(slope)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grads[0][:, None] * slope, None, None


def _check(setting: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ValueError(f"unknown {setting} '{value}' (valid: {', '.join(valid)})")
