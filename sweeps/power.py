"""The smallest difference between two methods that a number of replicates can detect."""

import math

import numpy as np
from scipy import stats

LEVEL = 0.05  # of all comparisons together
POWER = 0.8
DRAWS = 100_000


def detectable(replicates: int, comparisons: int) -> float:
    """The true difference, in units of the spread σ of a method's values over replicates, that is found with power 0.8
    or more, where `comparisons` c methods are compared with one control. Infinite for one replicate, which has no
    spread to go by.

    Two methods with R independent, normal values each and the same σ: Welch's test finds a true difference δ where
    δ + D > t e. D is the error of the difference of means, e its standard error with ν degrees of freedom, and t of ν
    has level α/c, two-sided: Bonferroni's bound. So δ is the 80 % quantile of t e − D, here of simulated values. The
    intervals of the verdict are narrower than Bonferroni's where c is larger than 1."""
    if replicates < 2:
        return math.inf
    generator = np.random.default_rng(0)
    means = generator.standard_normal((2, DRAWS)) / math.sqrt(replicates)
    variances = generator.chisquare(replicates - 1, (2, DRAWS)) / (replicates - 1) / replicates
    squared = variances.sum(axis=0)
    degrees = (replicates - 1) * squared**2 / (variances**2).sum(axis=0)
    limit = stats.t.ppf(1 - LEVEL / (2 * comparisons), degrees) * np.sqrt(squared)
    return float(np.quantile(limit - (means[0] - means[1]), POWER))
