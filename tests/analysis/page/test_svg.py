"""The parts of charts: scales, ticks, paths and labels against numbers worked out by hand."""

import math
import random
import re
from itertools import pairwise

import pytest

from analysis.page.svg import Scale, area, line, nice_step, px, spread, text, value


@pytest.mark.parametrize(("at", "expected"), [(0, 10), (5, 60), (10, 110), (-3, 10), (99, 110)])
def test_a_linear_scale_ends_where_it_ends(at, expected):
    assert Scale(0, 10, 10, 110)(at) == expected


def test_a_logarithmic_scale_has_equal_factors_at_equal_distances():
    scale = Scale(1, 100, 200, 0, log=True)
    assert [scale(v) for v in (1, 10, 100)] == pytest.approx([200, 100, 0])
    assert scale(20) == pytest.approx(200 - 100 * math.log10(20))


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(0, 10, 0, 1), [0, 2, 4, 6, 8, 10]),
        (Scale(-0.31, 0.62, 0, 1), [-0.2, 0, 0.2, 0.4, 0.6]),
        (Scale(1.4, 31, 0, 1, True), [2, 5, 10, 20]),
        (Scale(2.1, 4.9, 0, 1, True), [3, 4]),
        (Scale(2e-5, 0.06, 0, 1, True), [3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03]),
        (Scale(1e-9, 1, 0, 1, True), [1e-9, 1e-7, 1e-5, 1e-3, 1e-1]),
    ],
)
def test_ticks_are_round_values_within_the_range(scale, ticks):
    assert scale.ticks() == pytest.approx(ticks)


@pytest.mark.parametrize(("least", "step"), [(1, 1), (1.01, 2), (0.3, 0.5), (0.05, 0.05), (7, 10), (2e-7, 2e-7)])
def test_steps_are_one_two_or_five(least, step):
    assert nice_step(least) == pytest.approx(step)


def test_labels_far_apart_stay_where_they_are():
    assert spread([10, 50, 90], 15, 0, 100) == [10, 50, 90]


def test_labels_of_equal_height_are_spread_around_it_in_their_order():
    assert spread([50, 50, 50], 10, 0, 100) == [40, 50, 60]


def test_labels_keep_within_the_chart():
    assert spread([99, 100], 10, 0, 100) == [90, 100]
    assert spread([0, 1], 10, 0, 100) == [0, 10]


def test_spread_is_the_closest_of_all_placements_that_keep_the_distance():
    """Against a search: no random placement with the distances kept is closer to what was wanted."""
    draw = random.Random(0)
    for _ in range(20):
        wanted = [draw.uniform(20, 80) for _ in range(4)]
        places = spread(wanted, 8, -1000, 1000)
        order = sorted(range(4), key=lambda i: wanted[i])
        gaps = [places[b] - places[a] for a, b in pairwise(order)]
        assert min(gaps) > 8 - 1e-9
        cost = sum((a - b) ** 2 for a, b in zip(places, wanted, strict=True))
        for _ in range(500):
            first, more = draw.uniform(0, 80), [8 + draw.expovariate(0.1) for _ in range(3)]
            other = dict(zip(order, [first + sum(more[:k]) for k in range(4)], strict=True))
            assert sum((other[i] - wanted[i]) ** 2 for i in range(4)) >= cost - 1e-6


def absolute(path: str) -> list[tuple[float, float]]:
    """The points of a path of `M` and relative `l`."""
    points, x, y = [], 0.0, 0.0
    for command, a, b in re.findall(r"([Ml])(-?[\d.]+) (-?[\d.]+)", path):
        x, y = (float(a), float(b)) if command == "M" else (x + float(a), y + float(b))
        points.append((x, y))
    return points


def test_relative_steps_add_up_no_rounding():
    draw = random.Random(1)
    points = [(k + draw.random(), 100 * draw.random()) for k in range(500)]
    for got, wanted in zip(absolute(line(points)), points, strict=True):
        assert got == pytest.approx(wanted, abs=0.0501)


def test_a_missing_point_interrupts_a_line():
    assert line([(0, 0), (1, 2), None, (3, 4), (5.04, 4)]) == "M0 0l1 2M3 4l2 0"


def test_an_area_goes_there_and_back():
    assert absolute(area([(0, 5), (10, 6)], [(0, 1), (10, 2)])) == [(0, 5), (10, 6), (10, 2), (0, 1)]


@pytest.mark.parametrize(("number", "written"), [(3.0, "3"), (-0.04, "-0"), (2.25, "2.2"), (1e-5, "0"), (-1.5, "-1.5")])
def test_coordinates_are_short(number, written):
    assert float(px(number)) == float(written)
    assert len(px(number)) <= len(written)


TICKS = {0.00003: "3·10⁻⁵", 1e-6: "10⁻⁶", 1e-12: "10⁻¹²", 0.001: "0.001", 20.0: "20", 0: "0", -0.5: "-0.5"}


@pytest.mark.parametrize(("number", "written"), TICKS.items())
def test_ticks_are_written_as_one_reads_them(number, written):
    assert value(number) == written


def test_text_is_escaped():
    assert text(1, 2, "a < b & c") == '<text x="1" y="2">a &lt; b &amp; c</text>'
