"""Differences to a control with simultaneous intervals: Dunnett's comparison for unequal variances and few replicates.

For method i with n_i independent values of mean x_i and variance s_i², and control 0,

    d_i = x_i − x_0,    e_i² = s_i²/n_i + s_0²/n_0,    ν_i = e_i⁴ / (s_i⁴/(n_i²(n_i − 1)) + s_0⁴/(n_0²(n_0 − 1)))

are Welch's difference, squared standard error and degrees of freedom. t_i = (d_i − δ_i)/e_i of different ν_i are made
comparable by Wallace's normal score u(t, ν) = (8ν + 1)/(8ν + 3) √(ν log(1 + t²/ν)), and the 95 % point u* of the
largest score of all methods comes from a parametric bootstrap: samples of normal values with the variances found, so
that the common control and unequal variances enter. The interval of method i is d_i ± t e_i with u(t, ν_i) = u*.

Replicates of equal number have split and order of batches in common; the intervals make no use of it (`RULES.md`).
A bootstrap of the replicates themselves fails here: of three values it has ten different samples, and 1 in 9 has no
spread. `tests/analysis/test_control.py` shows coverage by simulation.

Sources: Dunnett 1955, doi 10.1080/01621459.1955.10501294; Wallace 1959, Ann. Math. Stat. 30(4);
Krishnamoorthy, Lu & Mathew 2007 (parametric bootstrap for unequal variances), doi 10.1016/j.csda.2006.09.039."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.statistics import LEVEL

DRAWS = 20_000
BETTER, WORSE, SAME, UNKNOWN = "better than {}", "worse than {}", "not distinguishable", ""


@dataclass(frozen=True)
class Difference:
    """Mean of a method minus that of the control, and the half-width of its interval, which holds together with those
    of all other methods. `score` is u*: the quantile of a normal value in this interval. NaN where one of the two has
    fewer than two values, or neither varies."""

    difference: float
    half_width: float
    score: float

    def verdict(self, control: str, half_width: float | None = None) -> str:
        """By the interval, or by another half-width: `better than <control>`, `worse than <control>`, `not
        distinguishable`; empty without an interval."""
        width = self.half_width if half_width is None else half_width
        if math.isnan(width):
            return UNKNOWN
        if abs(self.difference) <= width:
            return SAME
        return (BETTER if self.difference < 0 else WORSE).format(control)


def differences(values: Mapping[str, np.ndarray], control: np.ndarray, seed: int = 0) -> dict[str, Difference]:
    """Each method's difference to the control, of errors, with intervals that hold the true differences of all methods
    with 95 % probability. Methods with fewer than two values, and those with which nothing varies, have none."""
    usable = [name for name, x in values.items() if min(len(x), len(control)) > 1 and np.var(x) + np.var(control) > 0]
    found = {name: Difference(_difference(x, control), math.nan, math.nan) for name, x in values.items()}
    if not usable:
        return found
    samples = [control, *(values[name] for name in usable)]
    counts = np.array([len(x) for x in samples])
    variances = np.array([np.var(x, ddof=1) for x in samples])
    means = np.array([np.mean(x) for x in samples])
    limit = critical_score(variances, counts, np.random.default_rng(seed))
    difference, error, degrees = welch(means, variances, counts)
    half_width = t_of(limit, degrees) * error
    for i, name in enumerate(usable):
        found[name] = Difference(float(difference[i]), float(half_width[i]), float(limit))
    return found


def _difference(x: np.ndarray, control: np.ndarray) -> float:
    return float(np.mean(x) - np.mean(control)) if len(x) and len(control) else math.nan


def welch(means: np.ndarray, variances: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences to the first of the last axis, their standard errors and degrees of freedom; [..., K] → [..., K −
    1]."""
    share = variances / counts
    own, control = share[..., 1:], share[..., :1]
    squared = own + control
    with np.errstate(invalid="ignore"):  # 0/0 where neither varies
        degrees = squared**2 / (own**2 / (counts[1:] - 1) + control**2 / (counts[0] - 1))
    return means[..., 1:] - means[..., :1], np.sqrt(squared), degrees


def score(t: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Wallace's u(t, ν) ≥ 0, about the normal quantile of the same probability."""
    return (8 * degrees + 1) / (8 * degrees + 3) * np.sqrt(degrees * np.log1p(t**2 / degrees))


def t_of(u: float | np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """The t ≥ 0 with this score."""
    return np.sqrt(degrees * np.expm1((u * (8 * degrees + 3) / (8 * degrees + 1)) ** 2 / degrees))


def critical_score(
    variances: np.ndarray, counts: np.ndarray, generator: np.random.Generator, draws: int = DRAWS
) -> np.ndarray:
    """u*, the 95 % point of the largest score: of variances [..., K], the control first, an array [...]."""
    variances = variances[..., None, :]
    normal = generator.standard_normal((draws, len(counts)))
    ratios = generator.chisquare(counts - 1, (draws, len(counts))) / (counts - 1)
    with np.errstate(invalid="ignore"):
        difference, error, degrees = welch(normal * np.sqrt(variances / counts), ratios * variances, counts)
        scores = score(difference / error, degrees)
    return np.quantile(scores.max(axis=-1), 1 - LEVEL, axis=-1)
