"""Summaries against hand-computed cases."""

import math

import pandas as pd
import pytest

from analysis.statistics import share_near_best, summarize


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


@pytest.mark.parametrize(
    ("errors", "points", "share"),
    [
        ([3.0, 3.5, 4.0, 4.01], 1.0, 0.75),
        ([2.0], 1.0, 1.0),
        ([1.0, 90.0, 90.0, 90.0], 1.0, 0.25),
        ([1.0, math.nan], 1.0, 0.5),
        ([1.0, 2.0, 3.0], 2.0, 1.0),
    ],
)
def test_share_near_best(errors, points, share):
    assert share_near_best(pd.Series(errors), points) == share
