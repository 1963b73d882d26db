"""The distribution of a sum without one of its terms, at the threshold: what decides the gradient of P(S ≥ 0).

Source: slides, Pavlyuchenkov 2023, which compare four ways and name no details; the stable order of substitution and
what closes the central equations are ours.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

SOLUTIONS = ("solve", "three", "five")
CLOSURES = ("zero", "constant", "neighbour", "minimum_norm")


def threshold(N: int) -> int:
    """t = ⌈N/2⌉ − 1: with t of the other N − 1 terms at +1, term i decides between S ≥ 0 and S < 0."""
    return (N + 1) // 2 - 1


def deciding_mass(mu: Tensor, y: Tensor, how: str = "solve", closure: str = "neighbour") -> Tensor:
    """For each term, P(the sum of the others stands where it decides) = ∂P(S ≥ 0)/∂v_i: means (rows, N) → (rows, N).

    `y` (N + 1, rows) is the distribution of K, the number of terms that are +1 (`poisson_binomial.distribution`). With
    p = v_i = (1 + μ_i)/2 and q = 1 − p, the distribution x_0 … x_{N−1} of that number without term i solves the
    bidiagonal, overdetermined system `q·x_0 = y_0; q·x_k + p·x_{k−1} = y_k; p·x_{N−1} = y_N`; x_t is wanted,
    t = `threshold(N)`. (The slides count the terms that are −1: there p and q change places.)

    - "solve": substitution, forward from x_0 where p ≤ ½ and backward from x_{N−1} where p > ½, so that no error grows:
      within 1e-14 of the exact value in float64.
    - "three", "five": that many of the normal equations `pq·x_{k−1} + (p² + q²)·x_k + pq·x_{k+1} = q·y_k + p·y_{k+1}`,
      those around k = t. `closure` says what takes the place of the x_k just outside: "zero"; "constant", the outermost
      x inside; "neighbour", the right-hand side q·y_k + p·y_{k+1}, which is near x_k; with "minimum_norm" they are
      unknowns too, and the shortest solution is taken. An approximation, good where the distribution is smooth."""
    p = (1 + mu) / 2
    return _substitute(p, y) if how == "solve" else _central(p, y, {"three": 1, "five": 2}[how], closure)


def _substitute(p: Tensor, y: Tensor) -> Tensor:
    """x_t; backward substitution is forward substitution in the reversed distribution with p and q exchanged."""
    N = p.shape[1]
    t = threshold(N)
    forward = p <= 0.5
    large = torch.maximum(p, 1 - p)
    ratio, inverse = torch.minimum(p, 1 - p) / large, 1 / large
    x = found = torch.zeros_like(p)
    for k in range(N - t):
        x = torch.where(forward, y[k, :, None], y[N - k, :, None]) * inverse - ratio * x
        if k == t:
            found = x  # where it went forward; the others are there after N − 1 − t, which for even N is a step more
    return torch.where(forward, found, x)


def _central(p: Tensor, y: Tensor, h: int, closure: str) -> Tensor:
    """x_t from the normal equations t − h … t + h.

    They mirror each other at t, so the sums x_{t−k} + x_{t+k} solve a system of h + 1 equations."""
    q = 1 - p
    t, pad = threshold(p.shape[1]), h + 1
    y = F.pad(y, (0, 0, pad, pad))[:, :, None]  # beyond its ends a distribution is 0: the equations hold there too

    def right(k: int) -> Tensor:
        return q * y[pad + t + k] + p * y[pad + t + k + 1]

    b = [right(0), *(right(-k) + right(k) for k in range(1, h + 1))]
    d, o = p * p + q * q, p * q
    if closure == "minimum_norm":  # A has a column more at each end; x = Aᵀu with A·Aᵀ·u = b
        d2, near, far = d * d + 2 * o * o, 2 * d * o, o * o
        system = [[d2, near, far], [2 * near, d2 + far, near], [2 * far, near, d2]]
        u = _eliminate([row[: h + 1] for row in system[: h + 1]], b)
        return d * u[0] + o * u[1]
    zero = torch.zeros_like(d)
    system = [[d, o, zero], [2 * o, d, o], [zero, o, d]]
    if closure == "constant":
        system[h][h] = d + o
    elif closure == "neighbour":
        b[h] = b[h] - o * (right(-h - 1) + right(h + 1))
    return _eliminate([row[: h + 1] for row in system[: h + 1]], b)[0]


def _eliminate(system: list[list[Tensor]], b: list[Tensor]) -> list[Tensor]:
    """Solves a small system elementwise; its matrices are similar to positive definite ones and need no pivots."""
    n = len(b)
    system, b = [list(row) for row in system], list(b)
    for i in range(n):
        for j in range(i + 1, n):
            factor = system[j][i] / system[i][i]
            b[j] = b[j] - factor * b[i]
            system[j] = [lower - factor * upper for lower, upper in zip(system[j], system[i], strict=True)]
    for i in reversed(range(n)):
        for j in range(i + 1, n):
            b[i] = b[i] - system[i][j] * b[j]
        b[i] = b[i] / system[i][i]
    return b
