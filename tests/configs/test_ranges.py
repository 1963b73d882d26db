"""Places on a scale by hand."""

import pytest

from configs.ranges import at_edge, place


@pytest.mark.parametrize(
    ("value", "low", "high", "log", "expected"),
    [(2, 0, 8, False, 0.25), (1e-3, 1e-4, 1, True, 0.25), (1e-4, 1e-4, 1, True, 0), (8, 0, 8, False, 1)],
)
def test_place(value, low, high, log, expected):
    assert place(value, low, high, log) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "log", "expected"),
    [(1.5, False, True), (50, False, False), (96, False, True), (1.5, True, False), (1.2, True, True)],
)
def test_an_edge_is_a_twentieth_of_the_range_on_its_scale(value, log, expected):
    assert at_edge("lr", value, 1, 100, log) == (f"lr={value} of [1, 100]" if expected else "")
