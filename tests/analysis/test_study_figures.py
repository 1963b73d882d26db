"""The studies' figures: what they say of made-up records whose answer is known."""

import pandas as pd
import pytest

from analysis.experiments import experiment_settings
from analysis.selection import load_runs
from analysis.study_figures import STUDIES, differences, robustness, second_moment


def test_heat_maps_show_the_error_of_every_cell():
    settings = experiment_settings("study_robustness")
    fixed = {key: values[0] for key, values in settings.items() if len(values) == 1}
    rows = [
        fixed | {"method.name": m, "method.threshold": t, "method.gamma": g, "validation.error": 3.0 + i + 0.1 * j}
        for m in settings["method.name"]
        for i, t in enumerate(settings["method.threshold"])
        for j, g in enumerate(settings["method.gamma"])
    ]
    figure = robustness(pd.DataFrame(rows))
    for ax in figure.axes[:2]:
        shown = {text.get_text() for text in ax.texts}
        assert shown == {f"{3.0 + i + 0.1 * j:.1f}" for i in range(9) for j in range(5)}
        assert ax.get_title().endswith("13% of the grid within 1 point of its best")  # i = 0, and i = 1 with j = 0
    corner = figure.axes[0].collections[0].get_array().reshape(5, 9)[0, 0]
    assert corner == 3.0  # smallest γ, smallest τ


@pytest.mark.parametrize("name", STUDIES)
def test_without_records_there_is_no_figure(name, tmp_path):
    assert STUDIES[name](load_runs(tmp_path)) is None


def test_what_a_narrower_second_moment_changes_is_paired_by_seed():
    errors = {("weight", 1): 3.0, ("weight", 2): 4.0, ("layer", 1): 2.0, ("layer", 2): 2.0, ("layer", 3): 9.0}
    rows = [
        {"method.threshold": c, "method.scope": scope, "seed": seed, "validation.error": error + c * seed}
        for (scope, seed), error in errors.items()
        for c in (0.0, 0.1)
    ]
    found = differences(pd.DataFrame(rows), "weight", "layer")
    assert found.index.tolist() == [0.1]  # at 0 the scope plays no part
    assert found.loc[0.1, "mean"] == pytest.approx(1.5)  # of 1 and 2
    assert found.loc[0.1, "half_width"] == pytest.approx(12.7062 * 0.5)  # t(0.975, 1) · sd/√2
    assert differences(pd.DataFrame(rows), "layer", "net").empty


def test_second_moment_shows_shares_that_pass_of_the_study_only():
    settings = experiment_settings("study_second_moment")
    fixed = {key: values[0] for key, values in settings.items() if len(values) == 1} | {"limit_train": 0}
    rows = [
        fixed | {"method.scope": scope, "method.threshold": c, "seed": seed, "setting": "study"}
        | {"validation.error": 2.5 + c + i, "curves": {"blocked": [0.0, 0.5 * c]}}
        for i, scope in enumerate(settings["method.scope"])
        for c in settings["method.threshold"]
        for seed in settings["seed"]
    ]  # fmt: skip
    other = rows[0] | {"method.threshold_unit": "one", "validation.error": 7.0, "setting": "tuned"}
    upper, lower = second_moment(pd.DataFrame([*rows, other])).axes
    lines = {line.get_label(): line for line in upper.lines}
    assert lines["as tuned"].get_ydata()[0] == 7
    shown = [container.lines[0] for container in upper.containers]
    assert [line.get_xdata().tolist() for line in shown] == 3 * [pytest.approx([1, 0.9925, 0.975, 0.925, 0.75, 0.5])]
    assert [line.get_ydata()[0] for line in shown] == [2.5, 3.5, 4.5]
    assert [c.lines[0].get_ydata().tolist() for c in lower.containers] == 2 * [pytest.approx(5 * [-1.0])]

    one_scope = second_moment(pd.DataFrame([row for row in rows if row["method.scope"] == "weight"]))
    one_scope.draw_without_rendering()  # an empty logarithmic axis would raise an error
    assert [ax.get_visible() for ax in one_scope.axes] == [True, False]
