"""Thinned curves against NumPy and by hand."""

import math

import numpy as np
import pytest

from analysis.page.thin import POINTS, curve_of, digits


def test_mean_and_band_are_those_of_the_runs():
    runs = [[10.0, 4.0], [14.0, 5.0], [12.0, 9.0]]
    curve = curve_of([1, 2], runs)
    assert (curve.x, curve.mean) == ([1, 2], [12, 6])
    sd = np.std(runs, axis=0, ddof=1)
    assert curve.low == pytest.approx([12 - sd[0], 6 - sd[1]], rel=5e-3)
    assert curve.high == pytest.approx([12 + sd[0], 6 + sd[1]], rel=5e-3)


def test_one_run_has_no_band():
    assert curve_of([1, 2], [[3.0, 2.0]]).low == ()


def test_a_missing_value_is_left_out_of_the_mean():
    curve = curve_of([1, 2, 3], [[1.0, None, None], [3.0, 5.0, None]])
    assert curve.mean[:2] == [2, 5]
    assert math.isnan(curve.mean[2])
    assert (curve.low[1], curve.high[1]) == (5, 5)


def test_no_value_is_no_curve():
    assert curve_of([1, 2], [[None, None]]) is None
    assert curve_of([], []) is None


def test_a_long_curve_keeps_its_ends_and_few_points():
    curve = curve_of(range(1, 501), [[1 / k for k in range(1, 501)]])
    assert len(curve.x) == POINTS
    assert (curve.x[0], curve.x[-1], curve.mean[0], curve.mean[-1]) == (1, 500, 1, 0.002)
    assert all(mean == digits(1 / x) for x, mean in zip(curve.x, curve.mean, strict=True))


@pytest.mark.parametrize(("value", "short"), [(1.23456, 1.23), (0.00012349, 0.000123), (98765, 98800), (0, 0)])
def test_three_digits(value, short):
    assert digits(value) == short
