"""Where in its range a tuned number lies, and when that is at an edge, so that better values may lie outside."""

import math

EDGE = 0.05  # of a range, on its scale
MOVED_BY = 3  # what a chosen number is multiplied with, and divided by, to see how much depends on it


def place(value: float, low: float, high: float, log: bool) -> float:
    """0 at the low end, 1 at the high one, on a linear or logarithmic scale."""
    if log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def at_edge(name: str, value: float, low: float, high: float, log: bool) -> str:
    """`lr=0.0998 of [0.0001, 0.1]` of a value in the first or last EDGE of its range; empty of others."""
    share = place(value, low, high, log)
    return f"{name}={value:g} of [{low:g}, {high:g}]" if min(share, 1 - share) < EDGE else ""
