"""Colours can be seen on both backgrounds."""

import pytest

from analysis.page.colours import CONTRAST, DARK, LIGHT, contrast, rgb, seen, stylesheet
from analysis.plotting import colour, marker
from configs.registry import METHODS


@pytest.mark.parametrize(
    ("a", "b", "ratio"), [("#ffffff", "#000000", 21), ("#777777", "#ffffff", 4.48), ("#ff0000", "#ffffff", 4.0)]
)
def test_contrast_is_that_of_wcag(a, b, ratio):
    """The figures of WebAIM's contrast checker."""
    assert contrast(rgb(a), rgb(b)) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("background", [LIGHT, DARK], ids=["light", "dark"])
def test_each_method_is_seen(method, background):
    assert contrast(seen(rgb(colour(method)), background), background) >= CONTRAST[background]


def test_a_colour_that_can_be_seen_is_left_as_it_is():
    assert seen((51, 34, 136), LIGHT) == (51, 34, 136)


@pytest.mark.parametrize("background", [LIGHT, DARK], ids=["light", "dark"])
def test_methods_differ_in_colour_or_mark(background):
    found = {(seen(rgb(colour(method)), background), marker(method)) for method in METHODS}
    assert len(found) == len(METHODS)
    assert sum(seen(rgb(colour(method)), background) == seen(rgb(colour("ste")), background) for method in METHODS) == 1


def test_the_stylesheet_has_both_modes():
    css = stylesheet({"ste": "#332288"})
    light, dark = css.split("@media screen and (prefers-color-scheme:dark)")
    assert ".m-ste{--c:#332288}" in light
    assert ".m-ste{--c:#" in dark
    assert "#332288" not in dark
