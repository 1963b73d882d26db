"""The noise of the test set: against a scalar restatement, and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.control import differences, welch
from analysis.examples import by_replicate, examples_error, wider


def restated(y):
    """σ_b²/n before it is cut off at 0: the variance of the examples' means less that of the interaction."""
    R, n = len(y), len(y[0])
    example = [sum(y[r][i] for r in range(R)) / R for i in range(n)]
    replicate = [sum(y[r]) / n for r in range(R)]
    mean = sum(replicate) / R
    rest = sum((y[r][i] - example[i] - replicate[r] + mean) ** 2 for r in range(R) for i in range(n))
    between = sum((b - mean) ** 2 for b in example) / (n - 1)
    return between / n - rest / ((R - 1) * (n - 1)) / (R * n)


def test_one_method_by_the_restatement():
    y = [[1.0, 0, 0, 1, 0.5, 0], [1, 0, 0, 0, 1, 0], [1, 0, 0, 1, 0.5, 0]]
    assert restated(y) > 0
    assert examples_error(np.array(y)) == pytest.approx(math.sqrt(restated(y)))


def test_a_difference_by_the_restatement():
    generator = np.random.default_rng(0)
    hard = generator.random(40) < 0.5
    y = (hard & (generator.random((3, 40)) < 0.9)).astype(float)
    z = (generator.random((4, 40)) < 0.1).astype(float)
    means = y.mean(axis=0) - z.mean(axis=0)
    parts = [x.mean(axis=0).var(ddof=1) / 40 - restated(x.tolist()) for x in (y, z)]  # the interaction's share of each
    assert examples_error(y, z) == pytest.approx(math.sqrt(means.var(ddof=1) / 40 - sum(parts)))


def test_what_is_hard_for_both_cancels():
    same = np.tile([1.0, 0, 0, 1, 0], (3, 1))
    assert examples_error(same) == pytest.approx(math.sqrt(np.var(same[0], ddof=1) / 5))
    assert examples_error(same, same) == 0
    assert math.isnan(examples_error(same[:1]))
    assert math.isnan(examples_error(same, same[:1]))


def test_examples_that_no_two_replicates_agree_on_add_nothing():
    assert examples_error(np.eye(6)) == 0  # the estimate would be negative


def test_the_wider_interval():
    assert wider(3.0, 2.0, 2.0) == 5.0
    assert wider(3.0, 1.96, 0.0) == 3.0
    assert math.isnan(wider(math.nan, 1.96, 1.0))


def test_runs_of_a_replicate_are_averaged():
    wrong = [np.array(x, dtype=bool) for x in ([1, 0], [1, 1], [0, 0])]
    assert by_replicate(wrong, [2, 2, 1]).tolist() == [[0, 0], [1, 0.5]]
    assert by_replicate([*wrong, None], [2, 2, 1, 1]) is None
    assert by_replicate([wrong[0], np.array([True])], [1, 2]) is None
    assert by_replicate([], []) is None


def simulated(replicates, repeats, examples=1500, seed=0):
    """Shares of intervals, with and without the noise of the test set, that hold the true error of a method (first) and
    the true difference of two, which is 0. Each example has a difficulty, which the methods share in part."""
    generator = np.random.default_rng(seed)
    truth = stats.norm.sf(2.0)
    hits = np.zeros((2, 2))
    for _ in range(repeats):
        difficulty = generator.standard_normal(examples)
        own, other = (
            difficulty
            + 0.3 * generator.standard_normal(examples)
            + 0.6 * generator.standard_normal((replicates, examples))
            + 0.05 * generator.standard_normal((replicates, 1))
            > 2.0 * math.sqrt(1 + 0.3**2 + 0.6**2 + 0.05**2)
            for _ in range(2)
        )
        x, y = own.mean(axis=1), other.mean(axis=1)
        half_width = stats.t.ppf(0.975, replicates - 1) * x.std(ddof=1) / math.sqrt(replicates)
        variances, counts = np.array([y.var(ddof=1), x.var(ddof=1)]), np.array([replicates, replicates])
        _, (error,), (degrees,) = welch(np.zeros(2), variances, counts)
        for i, (miss, narrow, noise) in enumerate(
            (
                (x.mean() - truth, half_width, examples_error(own.astype(float))),
                (
                    x.mean() - y.mean(),
                    stats.t.ppf(0.975, degrees) * error,
                    examples_error(own.astype(float), other.astype(float)),
                ),
            )
        ):
            hits[i] += abs(miss) <= np.array([narrow, wider(narrow, 1.96, noise)])
    return hits / repeats


@pytest.mark.parametrize("replicates", [3, 6])
def test_another_test_set_is_covered(replicates):
    (narrow, wide), (narrow_difference, wide_difference) = simulated(replicates, repeats=800)
    assert narrow + 0.03 < wide
    assert 0.935 <= wide <= 0.98
    assert narrow_difference <= wide_difference
    assert 0.935 <= wide_difference <= 0.98


def test_the_score_of_a_comparison_is_the_quantile_for_all_methods_together():
    generator = np.random.default_rng(1)
    many = differences({str(i): generator.normal(size=6) for i in range(7)}, generator.normal(size=6))
    assert {round(found.score, 6) for found in many.values()} == {round(many["0"].score, 6)}
    assert 2.3 < many["0"].score < 2.8  # 1.96 for one method
