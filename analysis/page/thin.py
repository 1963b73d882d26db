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
    """Mean and standard deviation of several runs' values at `x`, at no more than POINTS of them, first and last kept.

    None where no run has a value. Bands are there for two runs or more."""
    values = np.array(runs, dtype=float)
    if values.size == 0 or np.isnan(values).all():
        return None
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).round().astype(int))
    values = values[:, chosen]
    known = (~np.isnan(values)).sum(axis=0)
    mean = np.where(known > 0, np.nansum(values, axis=0) / np.maximum(known, 1), np.nan)
    places = [float(x[i]) for i in chosen]
    means = [digits(v) for v in mean]
    if len(values) < 2:
        return Curve(places, means)
    squares = np.nansum((values - mean) ** 2, axis=0)
    sd = np.where(known > 1, np.sqrt(squares / np.maximum(known - 1, 1)), 0.0)
    low, high = ([digits(v) for v in mean + sign * sd] for sign in (-1, 1))
    return Curve(places, means, low, high)
