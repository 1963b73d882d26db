"""The difference that replicates can detect, against simulated replicates, a closed form, and the verdict's test."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.control import critical_score, t_of, welch
from sweeps.power import detectable


@pytest.mark.parametrize(("replicates", "comparisons"), [(3, 1), (3, 10), (6, 1), (6, 10)])
def test_a_detectable_difference_is_found_in_four_of_five_simulated_suites(replicates, comparisons):
    random, suites = np.random.default_rng(1), 40_000
    difference = detectable(replicates, comparisons)
    spread = 0.3
    control = random.normal(2.0, spread, (suites, replicates))
    other = random.normal(2.0 + difference * spread, spread, (suites, replicates))
    found = stats.ttest_ind(control, other, axis=1, equal_var=False).pvalue < 0.05 / comparisons
    assert found.mean() == pytest.approx(0.8, abs=0.012)  # five standard errors of both simulations


@pytest.mark.parametrize(
    ("replicates", "comparisons", "expected"), [(3, 1, 0.8), (6, 1, 0.8), (3, 10, 0.88), (6, 10, 0.87)]
)
def test_the_verdict_finds_it_at_least_as_often(replicates, comparisons, expected):
    """By its own intervals, of `comparisons` methods that are all worse than the control by that much."""
    random, counts = np.random.default_rng(2), np.full(comparisons + 1, replicates)
    difference, found = detectable(replicates, comparisons), []
    for _ in range(40):
        x = random.standard_normal((replicates, 100, comparisons + 1))
        x[..., 1:] += difference
        variances = x.var(axis=0, ddof=1)
        limit = critical_score(variances, counts, random, draws=300)
        distance, error, degrees = welch(x.mean(axis=0), variances, counts)
        found.append(distance > t_of(limit[:, None], degrees) * error)
    assert np.mean(found) == pytest.approx(expected, abs=0.03)


def test_many_replicates_come_to_the_normal_formula():
    """d √(R/2) = z(1 − α/2) + z(0.8)."""
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert detectable(5000, 1) == pytest.approx(z / math.sqrt(2500), rel=0.01)
    assert detectable(1, 1) == math.inf
    assert detectable(3, 5) > detectable(3, 1) > detectable(6, 1)
