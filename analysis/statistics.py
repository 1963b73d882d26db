"""Means and their intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05  # intervals cover 1 − LEVEL
NORMAL = float(stats.norm.ppf(1 - LEVEL / 2))


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


def share_near_best(errors: pd.Series, points: float = 1.0) -> float:
    """Share of the errors that are within `points` of the lowest; a missing one is not."""
    return float((errors <= errors.min() + points).mean())
