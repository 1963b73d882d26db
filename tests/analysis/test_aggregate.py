"""Methods over settings: definitions restated value by value, and what the bootstrap gives."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from analysis.aggregate import (
    ends_of_scores,
    interquartile_mean,
    probability_of_improvement,
    profile,
    profile_steps,
    weighted_middle,
)

CONTROL = {"a": np.array([2.0, 4.0, 3.0]), "b": np.array([10.0, 10.0, 12.0, 8.0, 11.0, 9.0])}
OWN = {"a": np.array([3.0, 1.5, 4.5]), "b": np.array([10.0, 7.0, 13.0, 9.0, 8.0, 20.0])}


def test_with_equal_numbers_it_is_the_trimmed_mean():
    generator = np.random.default_rng(0)
    for n in (4, 8, 24):
        x = generator.lognormal(size=n)
        assert weighted_middle(x, np.ones(n)) == pytest.approx(stats.trim_mean(x, 0.25))


def test_scores_at_the_borders_count_in_part():
    # of 3 equal weights the middle half is 1/12 of the first, all of the second, 1/12 of the third
    assert weighted_middle(np.array([5.0, 1.0, 2.0]), np.ones(3)) == pytest.approx((1 / 12 + 2 / 3 + 5 / 12) / 0.5)
    # a weight of 0.7 holds all but what is below 0.7
    assert weighted_middle(np.array([1.0, 4.0]), np.array([7.0, 3.0])) == pytest.approx((0.45 * 1 + 0.05 * 4) / 0.5)


def test_every_setting_has_the_same_weight():
    found = interquartile_mean(OWN, CONTROL)
    scores = sorted([(x / 3, 1 / 3) for x in OWN["a"]] + [(x / 10, 1 / 6) for x in OWN["b"]])
    total, lower = 0.0, 0.0
    for value, weight in scores:
        upper = lower + weight / 2
        total += value * max(0.0, min(upper, 0.75) - max(lower, 0.25))
        lower = upper
    assert found.value == pytest.approx(total / 0.5)
    assert found.low < found.value < found.high


def test_the_probability_of_improvement_counts_pairs_and_half_of_ties():
    pairs = {s: [(x < y) + 0.5 * (x == y) for x, y in itertools.product(OWN[s], CONTROL[s])] for s in OWN}
    expected = np.mean([np.mean(p) for p in pairs.values()])
    found = probability_of_improvement(OWN, CONTROL)
    assert found.value == pytest.approx(expected)
    u = stats.mannwhitneyu(CONTROL["b"], OWN["b"]).statistic / 36
    assert np.mean(pairs["b"]) == pytest.approx(u)
    assert probability_of_improvement(CONTROL, dict(CONTROL)).value == pytest.approx(0.5)
    never = probability_of_improvement({"a": np.array([5.0, 6.0])}, CONTROL)
    assert (never.value, never.low, never.high) == (0, 0, 0)


def test_settings_that_a_method_lacks_do_not_count():
    only = {"a": OWN["a"]}
    assert interquartile_mean(only, CONTROL).value == pytest.approx(weighted_middle(OWN["a"] / 3, np.ones(3)))
    assert profile(only, CONTROL, np.array([0.5, 1.0])).tolist() == pytest.approx([1 / 3, 2 / 3])


def test_the_profile_rises_at_the_scores_and_nowhere_else():
    ends = ends_of_scores({"own": OWN, "control": CONTROL}, CONTROL)
    every = [x / np.mean(CONTROL[name]) for values in (OWN, CONTROL) for name, own in values.items() for x in own]
    assert ends == pytest.approx((0.98 * min(every), 1.02 * max(every)))
    at, shares = profile_steps(OWN, CONTROL, ends)
    assert at.tolist() == sorted({*ends, *(x / np.mean(CONTROL[name]) for name, own in OWN.items() for x in own)})
    assert shares.tolist() == profile(OWN, CONTROL, at).tolist()
    for low, high, share in zip(at, at[1:], shares, strict=False):
        assert profile(OWN, CONTROL, np.array([(low + high) / 2])).tolist() == [share]


def test_the_profile_is_the_share_of_replicates_within_a_factor():
    at = np.array([0.49, 0.5, 0.7, 1.0, 2.0])
    expected = [np.mean([np.mean(OWN[s] / CONTROL[s].mean() <= t) for s in OWN]) for t in at]
    assert profile(OWN, CONTROL, at).tolist() == pytest.approx(expected)
    assert expected[0] == 0
    assert expected[-1] == 1


def test_the_intervals_are_those_of_a_stratified_bootstrap():
    generator = np.random.default_rng(5)
    values = []
    for _ in range(4000):
        drawn = [{s: generator.choice(x, len(x)) for s, x in own.items()} for own in (OWN, CONTROL)]
        scores = np.concatenate([drawn[0][s] / drawn[1][s].mean() for s in OWN])
        values.append(weighted_middle(scores, np.repeat([1 / 3, 1 / 6], [3, 6])))
    found = interquartile_mean(OWN, CONTROL)
    assert [found.low, found.high] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.03)
    assert found == interquartile_mean(OWN, CONTROL)


def test_the_control_itself_and_a_single_replicate():
    own = interquartile_mean(CONTROL, CONTROL)
    scores = np.concatenate([CONTROL[s] / CONTROL[s].mean() for s in CONTROL])
    assert own.value == pytest.approx(weighted_middle(scores, np.repeat([1 / 3, 1 / 6], [3, 6])))
    assert 0.8 < own.low < own.value < own.high < 1.2
    single = interquartile_mean({"a": np.array([1.5])}, CONTROL)
    assert single.value == pytest.approx(0.5)
    assert np.isnan([single.low, single.high]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("replicates", "settings", "mean", "probability"), [(6, 2, 0.91, 0.91), (6, 4, 0.92, 0.93), (3, 2, 0.87, 0.57)]
)
def test_how_often_the_intervals_hold_the_truth(replicates, settings, mean, probability):
    """As RULES.md says it. Normal values; the true interquartile mean is that of a very large sample."""
    generator = np.random.default_rng(0)
    ratios, spread, control_spread = np.array([1.1, 1.3, 1.0, 1.2])[:settings], 0.1, 0.06

    def drawn(n):
        control = {str(i): 1 + control_spread * generator.standard_normal(n) for i in range(settings)}
        return {str(i): m + spread * generator.standard_normal(n) for i, m in enumerate(ratios)}, control

    own, _ = drawn(400_000)
    true_mean = stats.trim_mean(np.concatenate(list(own.values())), 0.25)
    true_probability = stats.norm.cdf((1 - ratios) / math.hypot(spread, control_spread)).mean()
    held = np.zeros(2)
    for _ in range(400):
        own, control = drawn(replicates)
        found = interquartile_mean(own, control), probability_of_improvement(own, control)
        held += [e.low <= true <= e.high for e, true in zip(found, (true_mean, true_probability), strict=True)]
    assert held / 400 == pytest.approx([mean, probability], abs=0.045)
