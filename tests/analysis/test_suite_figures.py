"""The figures of suites: where their points and intervals are, on folders of suites that never ran."""

import numpy as np
import pytest

from analysis.overall import overall, scores
from analysis.plotting import colour, png
from analysis.rebuild import figures, gather
from analysis.suite_figures import all_settings, best_against_trials, differences_to_control, performance_profile
from analysis.verdict import compare
from tests.analysis.made_up_suites import make_folders, make_runs, make_suite

ERRORS = {
    "real": [[1.0], [0.8], [0.9]],
    "ste": [[3.0], [2.8], [3.2]],
    "bop": [[6.0], [6.3], [5.7]],
    "bop2nd": [[3.3], [2.7], [3.0]],
}
TRIALS = {"real": [[1.0, 1.0]] * 3, "ste": [[4.0, 3.0]] * 3, "bop": [[7.0, 9.0]] * 3}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folders = make_folders(tmp_path_factory.mktemp("suites"))
    for label, width in (("one", 64), ("two", 128)):
        make_suite(folders, label, net={"width": width}, runs=1)
        make_runs(folders, label, ERRORS, net={"width": width}, examples=1000, trials=TRIALS)
    return gather(folders.results, folders.configs)


def test_intervals_of_differences_a_panel_a_setting(material):
    rows = compare(material.complete[0])
    figure = differences_to_control([("first", rows), ("second", rows[:2])])
    assert [ax.get_title() for ax in figure.axes] == ["first", "second"]
    first = figure.axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == ["bop", "bop2nd"]
    by_method = {row.method: row for row in rows}
    for place, method in enumerate(("bop", "bop2nd")):
        row = by_method[method]
        points = [
            line for line in first.lines if line.get_marker() not in ("None", "|") and line.get_ydata()[0] == place
        ]
        assert [line.get_xdata()[0] for line in points] == [pytest.approx(row.difference.difference)]
        assert points[0].get_color() == colour(method)
        ends = {tuple(np.round(path.vertices[:, 0], 6)) for bars in first.collections for path in bars.get_paths()
                if path.vertices[0, 1] == place}  # fmt: skip
        widths = (row.difference.half_width, row.difference_wide)
        expected = [(row.difference.difference - width, row.difference.difference + width) for width in widths]
        assert ends == {tuple(np.round(pair, 6)) for pair in expected}


def test_the_profile_steps_where_a_replicate_is(material):
    values = scores(material.complete)
    (ax,) = performance_profile(values).axes
    lines = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    assert len(lines) == 3
    for line, method in zip(lines, ("ste", "bop", "bop2nd"), strict=True):
        relative = np.array([errors[0] for errors in ERRORS[method]]) / 3.0
        expected = [(relative <= t + 1e-12).mean() for t in line.get_xdata()]
        assert line.get_ydata().tolist() == pytest.approx(expected)


def test_the_aggregate_shows_both_measures(material):
    rows = overall(scores(material.complete))
    left, right = all_settings(rows).axes
    assert [label.get_text() for label in left.get_yticklabels()] == [row.method for row in rows]
    shown = [line.get_xdata()[0] for line in left.lines if len(line.get_xdata()) == 1]
    assert shown == [pytest.approx(row.score.value) for row in rows]
    assert len([line for line in right.lines if len(line.get_xdata()) == 1]) == 2  # not of the control


def test_best_found_is_drawn_for_each_method(material):
    (ax,) = best_against_trials([("first", material.trials["one"])]).axes
    drawn = {line.get_color(): line.get_ydata().tolist() for line in ax.lines}
    assert drawn == {colour("real"): [1.0, 1.0], colour("ste"): [4.0, 3.0], colour("bop"): [7.0, 7.0]}
    assert best_against_trials([]) is None


def test_without_complete_suites_there_are_no_figures(tmp_path):
    folders = make_folders(tmp_path)
    make_suite(folders, "one", runs=1)
    found = dict(figures(gather(folders.results, folders.configs)))
    names = ("differences", "overall", "performance_profile", "best_against_trials")
    assert [found[name] for name in names] == 4 * [None]


def test_the_same_records_give_the_same_bytes(material):
    def drawn():
        rows = [("first", compare(material.complete[0]))]
        values = scores(material.complete)
        return [
            png(figure)
            for figure in (
                differences_to_control(rows),
                all_settings(overall(values)),
                performance_profile(values),
                best_against_trials([("first", material.trials["one"])]),
            )
        ]

    assert drawn() == drawn()
