"""Thinned curves against NumPy and by hand."""

import math

import pytest

from analysis.page.thin import POINTS, curve_of, digits


def test_line_and_band_are_median_and_quartiles_of_the_runs():
    curve = curve_of([1, 2], [[10.0, 4.0], [14.0, 5.0], [12.0, 9.0]])
    assert (curve.x, curve.middle, curve.low, curve.high) == ([1, 2], [12, 5], [11, 4.5], [13, 7])


def test_one_run_has_no_band():
    assert curve_of([1, 2], [[3.0, 2.0]]).low == ()


def test_a_missing_value_is_left_out():
    curve = curve_of([1, 2, 3], [[1.0, None, None], [3.0, 5.0, None]])
    assert curve.middle[:2] == [2, 5]
    assert all(math.isnan(values[2]) for values in (curve.low, curve.middle, curve.high))
    assert (curve.low[1], curve.high[1]) == (5, 5)


def test_no_value_is_no_curve():
    assert curve_of([1, 2], [[None, None]]) is None
    assert curve_of([], []) is None


def test_a_long_curve_keeps_its_ends_and_few_points():
    curve = curve_of(range(1, 501), [[1 / k for k in range(1, 501)]])
    assert len(curve.x) == POINTS
    assert (curve.x[0], curve.x[-1], curve.middle[0], curve.middle[-1]) == (1, 500, 1, 0.002)
    assert all(value == digits(1 / x) for x, value in zip(curve.x, curve.middle, strict=True))


@pytest.mark.parametrize(("value", "short"), [(1.23456, 1.23), (0.00012349, 0.000123), (98765, 98800), (0, 0)])
def test_three_digits(value, short):
    assert digits(value) == short
