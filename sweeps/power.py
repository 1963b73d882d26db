"""The smallest difference between two methods that a number of replicates can detect."""

import math

from scipy import optimize, stats

LEVEL = 0.05  # of all comparisons together
POWER = 0.8


def power_of(difference: float, replicates: int, comparisons: int) -> float:
    """Chance that a t test finds a true `difference`, in units of the spread σ of a method's values over replicates.

    Two methods with R independent, normal values each and the same σ: T = D √(R/2) / s with the pooled s has
    ν = 2 (R − 1) degrees of freedom and, for a true difference δ, noncentrality δ/σ √(R/2). It is found where |T|
    exceeds t of level α/c, two-sided: Bonferroni's bound for `comparisons` c with one control, which simultaneous
    intervals of Dunnett's kind and Holm's correction stay within."""
    degrees = 2 * (replicates - 1)
    critical = stats.t.ppf(1 - LEVEL / (2 * comparisons), degrees)
    # T² has the noncentral F distribution; scipy's noncentral t has no lower tail far out
    return float(1 - stats.ncf.cdf(critical**2, 1, degrees, difference**2 * replicates / 2))


def detectable(replicates: int, comparisons: int) -> float:
    """The difference in units of σ that is found with power 0.8: `power_of(d, …) = 0.8`. Infinite for one replicate,
    which has no spread to go by."""
    if replicates < 2:
        return math.inf
    high = 1.0
    while power_of(high, replicates, comparisons) < POWER:
        high *= 2
    return float(optimize.brentq(lambda d: power_of(d, replicates, comparisons) - POWER, 0, high))
