"""Fewer points and fewer digits for curves, so that the page stays small."""

import math
from collections.abc import Sequence

import numpy as np

from analysis.page.rows import Curve

POINTS = 25
DIGITS = 3


def digits(value: float, count: int = DIGITS) -> float:
    """The value to `count` significant digits; NaN stays NaN."""
    return float(f"{value:.{count}g}") if math.isfinite(value) else math.nan


def curve_of(x: Sequence[float], runs: Sequence[Sequence[float]]) -> Curve | None:
    """Median and quartiles of several runs' values at `x`, at no more than POINTS of them, first and last kept.

    None where no run has a value. Bands are there for two runs or more."""
    values = np.array(runs, dtype=float)
    if values.size == 0 or np.isnan(values).all():
        return None
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).round().astype(int))
    columns = [column[~np.isnan(column)] for column in values[:, chosen].T]
    quartiles = [np.quantile(column, (0.25, 0.5, 0.75)) if len(column) else 3 * [math.nan] for column in columns]
    low, middle, high = ([digits(v) for v in row] for row in zip(*quartiles, strict=True))
    places = [float(x[i]) for i in chosen]
    return Curve(places, middle) if len(values) < 2 else Curve(places, middle, low, high)
