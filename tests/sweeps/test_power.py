"""The difference that replicates can detect, against a closed form and against tests of simulated replicates."""

import math

import numpy as np
import pytest
from scipy import stats

from sweeps.power import detectable, power_of


@pytest.mark.parametrize(("replicates", "comparisons"), [(3, 1), (3, 10), (6, 1), (6, 10)])
def test_a_detectable_difference_is_found_in_four_of_five_simulated_suites(replicates, comparisons):
    random, suites = np.random.default_rng(0), 40_000
    difference = detectable(replicates, comparisons)
    spread = 0.3
    control = random.normal(2.0, spread, (suites, replicates))
    other = random.normal(2.0 + difference * spread, spread, (suites, replicates))
    found = stats.ttest_ind(control, other, axis=1).pvalue < 0.05 / comparisons
    assert found.mean() == pytest.approx(0.8, abs=0.01)  # five standard errors


def test_no_difference_is_found_as_often_as_the_level_says():
    assert power_of(0.0, 5, 1) == pytest.approx(0.05)
    assert power_of(0.0, 5, 10) == pytest.approx(0.005)


def test_many_replicates_come_to_the_normal_formula():
    """d √(R/2) = z(1 − α/2) + z(0.8)."""
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert detectable(5000, 1) == pytest.approx(z / math.sqrt(2500), rel=1e-3)
    assert detectable(1, 1) == math.inf
    assert detectable(3, 5) > detectable(3, 1) > detectable(6, 1)
