"""Means over seeds and their intervals, paired tests between two methods, and Holm's correction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05  # of the tests; intervals cover 1 − LEVEL


@dataclass(frozen=True)
class Summary:
    """`n` values, their mean, sample standard deviation `sd` (n − 1), and the 95 % interval mean ± `half_width`.

    Student's t with n − 1 degrees of freedom; sd and half_width are NaN for n = 1, the mean too for n = 0."""

    n: int
    mean: float
    sd: float
    half_width: float


def summarize(values: Sequence[float]) -> Summary:
    """Missing values are left out."""
    x = np.asarray(values, dtype=float)
    x = x[~np.isnan(x)]
    n = len(x)
    sd = float(x.std(ddof=1)) if n > 1 else math.nan
    half_width = float(stats.t.ppf(1 - LEVEL / 2, n - 1)) * sd / math.sqrt(n) if n > 1 else math.nan
    return Summary(n, float(x.mean()) if n else math.nan, sd, half_width)


@dataclass(frozen=True)
class Comparison:
    """Mean difference `a − b` over the `n` seeds that both have, and the two-sided p of the paired t test.

    p is NaN for n < 2. Where all differences are equal there is no spread to go by: p is 1 if they are 0, else 0."""

    n: int
    difference: float
    p: float


def compare(a: pd.Series, b: pd.Series) -> Comparison:
    """`a`, `b`: errors indexed by seed."""
    both = pd.concat([a, b], axis=1, join="inner").dropna()
    differences = (both.iloc[:, 0] - both.iloc[:, 1]).to_numpy(dtype=float)
    n = len(differences)
    if n < 2:
        return Comparison(n, float(differences.mean()) if n else math.nan, math.nan)
    if np.ptp(differences) == 0:
        return Comparison(n, float(differences[0]), 1.0 if differences[0] == 0 else 0.0)
    return Comparison(n, float(differences.mean()), float(stats.ttest_1samp(differences, 0).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p for a family of tests: `max_{j ≤ i} min(1, (m − j) p_(j))` with p_(0) ≤ p_(1) ≤ …

    A NaN, a test that could not be made, stays NaN and does not count in the family's size m."""
    p = np.asarray(p_values, dtype=float)
    order = [i for i in np.argsort(p, kind="stable") if not math.isnan(p[i])]
    adjusted, highest = [math.nan] * len(p), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted
