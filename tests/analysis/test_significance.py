"""Summaries, paired tests and Holm's correction against hand-computed cases and scipy's own paired test."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics import compare, holm, summarize


def test_summary_by_hand():
    summary = summarize([1.0, 2.0, 4.0, math.nan])
    assert summary.n == 3
    assert summary.mean == pytest.approx(7 / 3)
    assert summary.sd == pytest.approx(math.sqrt(((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2) / 2))
    assert summary.half_width == pytest.approx(4.302652729911275 * summary.sd / math.sqrt(3))  # t table, 2 df


def test_summary_of_one_and_of_none():
    one, none = summarize([2.5]), summarize([])
    assert (one.n, one.mean) == (1, 2.5)
    assert math.isnan(one.sd)
    assert math.isnan(one.half_width)
    assert none.n == 0
    assert math.isnan(none.mean)


def test_comparison_pairs_by_seed():
    a = pd.Series({0: 1.0, 1: 1.2, 2: 0.9, 7: 50.0})
    b = pd.Series({2: 1.1, 0: 1.3, 1: 1.4, 8: 0.0})
    result = compare(a, b)
    assert result.n == 3
    assert result.difference == pytest.approx((-0.3 - 0.2 - 0.2) / 3)
    assert result.p == pytest.approx(stats.ttest_rel([1.0, 1.2, 0.9], [1.3, 1.4, 1.1]).pvalue)
    assert compare(b, a).difference == -result.difference


@pytest.mark.parametrize(
    ("a", "b", "n", "difference", "p"),
    [
        ({0: 1.0}, {0: 2.0}, 1, -1.0, math.nan),
        ({0: 1.0}, {1: 2.0}, 0, math.nan, math.nan),
        ({0: 1.0, 1: math.nan}, {0: 2.0, 1: 2.0}, 1, -1.0, math.nan),
        ({0: 1.0, 1: 3.0}, {0: 1.0, 1: 3.0}, 2, 0.0, 1.0),
        ({0: 1.0, 1: 3.0}, {0: 2.0, 1: 4.0}, 2, -1.0, 0.0),
    ],
)
def test_comparison_where_there_is_little_to_compare(a, b, n, difference, p):
    result = compare(pd.Series(a), pd.Series(b))
    assert result.n == n
    assert (result.difference, result.p) == pytest.approx((difference, p), nan_ok=True)


def test_holm_by_hand():
    # sorted .005 .01 .03 .04: ×4 = .02, ×3 = .03, ×2 = .06, ×1 = .04 → .06, as no adjusted p may fall
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_leaves_out_what_could_not_be_tested():
    np.testing.assert_allclose(holm([math.nan, 0.02, 0.03]), [math.nan, 0.04, 0.04])
