"""Differences to the control: against a scalar restatement, and the coverage of their intervals by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.control import Difference, critical_score, differences, score, t_of, welch

METHODS = 11  # the control and ten others, as the suites have them
SPREADS = {  # standard deviations over replicates, the control's first
    "equal": np.ones(METHODS),
    "noisy control": np.array([3.0, *10 * [1.0]]),
    "steady control": np.array([0.3, *10 * [1.0]]),
    "graded": np.geomspace(0.3, 3, METHODS)[[4, 0, 1, 2, 3, 5, 6, 7, 8, 9, 10]],
    "as on mnist": np.array([0.11, 0.17, 0.29, 0.1, 0.07, 0.28, 0.17, 0.3, 0.3, 0.28, 0.37]),
}
MEANS = {"none": np.zeros(METHODS), "some": np.array([0.0, 0.0, 0.0, -2.0, 1.0, 0.5, 0.0, 4.0, 0.0, 0.3, 0.0])}


def test_the_parts_by_hand():
    a, b = [2.0, 3.0, 7.0], [1.0, 1.5, 2.0, 2.5]
    variance = {"a": 7.0, "b": 5 / 12}  # of (2, 3, 7) about 4, of (1, 1.5, 2, 2.5) about 1.75
    difference, error, degrees = welch(
        np.array([1.75, 4.0]), np.array([variance["b"], variance["a"]]), np.array([4, 3])
    )
    assert difference == pytest.approx([2.25])
    assert error == pytest.approx([math.sqrt(7 / 3 + 5 / 48)])
    reference = stats.ttest_ind(a, b, equal_var=False)
    assert degrees == pytest.approx([reference.df])
    assert difference / error == pytest.approx([reference.statistic])
    assert score(np.array(2.5), np.array(4.0)) == pytest.approx(33 / 35 * math.sqrt(4 * math.log(1 + 6.25 / 4)))


@pytest.mark.parametrize("degrees", [2.0, 3.3, 10.0, 1e6])
def test_a_score_is_about_the_normal_quantile_of_the_same_probability(degrees):
    t = np.array([0.0, 0.5, 2.0, 5.0])
    np.testing.assert_allclose(t_of(score(t, np.array(degrees)), np.array(degrees)), t, atol=1e-9)
    normal = stats.norm.isf(stats.t.sf(t, degrees))
    np.testing.assert_allclose(score(t, np.array(degrees)), normal, atol=0.05)


def restated(variances, counts, draws, seed):
    """The 95 % point of the largest score, value by value."""
    generator = np.random.default_rng(seed)
    normal = generator.standard_normal((draws, len(counts)))
    ratio = generator.chisquare([n - 1 for n in counts], (draws, len(counts)))
    largest = []
    for b in range(draws):
        mean = [normal[b, k] * math.sqrt(variances[k] / counts[k]) for k in range(len(counts))]
        share = [ratio[b, k] / (counts[k] - 1) * variances[k] / counts[k] for k in range(len(counts))]
        scores = []
        for k in range(1, len(counts)):
            squared = share[k] + share[0]
            nu = squared**2 / (share[k] ** 2 / (counts[k] - 1) + share[0] ** 2 / (counts[0] - 1))
            t2 = (mean[k] - mean[0]) ** 2 / squared
            scores.append((8 * nu + 1) / (8 * nu + 3) * math.sqrt(nu * math.log(1 + t2 / nu)))
        largest.append(max(scores))
    return float(np.quantile(largest, 0.95))


@pytest.mark.parametrize("counts", [[3, 3, 3], [6, 5, 6, 2]])
def test_the_bootstrap_is_the_restated_one(counts):
    variances = np.array([1.0, 0.0, 2.5, 0.3][: len(counts)])
    found = critical_score(variances, np.array(counts), np.random.default_rng(3), draws=400)
    assert float(found) == pytest.approx(restated(variances, counts, 400, 3))


def test_two_methods_are_compared_as_by_welch():
    """With one comparison, the interval is about Welch's."""
    a, b = np.array([2.0, 3.0, 2.5, 2.9, 3.1, 2.2]), np.array([1.0, 1.5, 1.2, 1.1, 1.6, 1.3])
    found = differences({"bop": a}, b)["bop"]
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert found.half_width == pytest.approx((interval.high - interval.low) / 2, rel=0.03)
    assert found.score == pytest.approx(1.96, abs=0.06)


def test_more_methods_widen_the_intervals_and_the_same_seed_repeats_them():
    generator = np.random.default_rng(0)
    values = {name: generator.normal(size=6) for name in "abcdefg"}
    control = generator.normal(size=6)
    several = differences(values, control)
    assert several == differences(values, control)
    assert several["a"].half_width > 1.2 * differences({"a": values["a"]}, control)["a"].half_width
    assert several["a"].score < stats.norm.isf(0.025 / 7)  # Bonferroni's


def test_without_spread_or_a_second_value_there_is_no_interval():
    control = np.array([1.0, 1.0])
    found = differences({"a": np.array([2.0]), "b": np.array([3.0, 3.0]), "c": np.array([])}, control)
    assert [found[name].difference for name in "ab"] == [1.0, 2.0]
    assert math.isnan(found["c"].difference)
    assert all(math.isnan(found[name].half_width) and found[name].verdict("ste") == "" for name in "abc")
    some = differences({"a": np.array([2.0, 2.5]), "b": np.array([3.0, 3.0])}, control)
    assert some["a"].half_width > 0  # one of the two varies
    assert math.isnan(some["b"].half_width)


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (-0.31, "better than ste"),
        (0.31, "worse than ste"),
        (0.3, "not distinguishable"),
        (-0.29, "not distinguishable"),
    ],
)
def test_words(difference, words):
    assert Difference(difference, 0.3, 2.5).verdict("ste") == words
    assert Difference(difference, 0.01, 2.5).verdict("ste", 0.3) == words


def simulated(spread, means, replicates, data_sets, draws, seed=0):
    """Shares of simulated data sets whose intervals hold all true differences, and of those in which a method that is
    as good as the control has an interval without 0."""
    generator = np.random.default_rng(seed)
    counts = np.full(METHODS, replicates)
    held = false = 0
    for _ in range(data_sets // 50):
        x = means + spread * generator.standard_normal((50, replicates, METHODS)).swapaxes(0, 1)
        limit = critical_score(x.var(axis=0, ddof=1), counts, generator, draws)
        difference, error, degrees = welch(x.mean(axis=0), x.var(axis=0, ddof=1), counts)
        half_width = t_of(limit[:, None], degrees) * error
        held += (abs(difference - (means[1:] - means[0])) <= half_width).all(axis=1).sum()
        false += ((abs(difference) > half_width) & (means[1:] == means[0])).any(axis=1).sum()
    return held / data_sets, false / data_sets


@pytest.mark.parametrize("replicates", [3, 6])
@pytest.mark.parametrize("means", MEANS.values(), ids=MEANS)
def test_all_intervals_together_hold_the_truth_with_95_percent(replicates, means):
    held, false = simulated(SPREADS["as on mnist"], means, replicates, data_sets=2000, draws=300)
    assert 0.935 <= held <= 0.972  # somewhat too wide with three replicates
    assert false <= 0.065


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [3, 6])
@pytest.mark.parametrize("name", SPREADS)
def test_coverage_for_many_kinds_of_unequal_variances(replicates, name):
    """With equal variances and three replicates the intervals are too wide: they hold the truth with 97 %. The figures
    in RULES.md are of 10,000 data sets with 1000 draws."""
    held, false = simulated(SPREADS[name], MEANS["none"], replicates, data_sets=5000, draws=600)
    assert 0.935 <= held <= (0.98 if (name, replicates) == ("equal", 3) else 0.97)
    assert false == pytest.approx(1 - held)
