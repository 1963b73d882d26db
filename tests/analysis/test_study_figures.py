"""The studies' figures: what they say of made-up records whose answer is known."""

import pandas as pd
import pytest

from analysis.experiments import experiment_settings
from analysis.selection import load_runs
from analysis.study_figures import STUDIES, robustness, share_near_best


@pytest.mark.parametrize(
    ("errors", "points", "share"),
    [([3.0, 3.5, 4.0, 4.01], 1.0, 0.75), ([2.0], 1.0, 1.0), ([1.0, 90.0, 90.0, 90.0], 1.0, 0.25)],
)
def test_share_near_best(errors, points, share):
    assert share_near_best(pd.Series(errors), points) == share


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
        assert shown == {f"{3.0 + i + 0.1 * j:.1f}" for i in range(6) for j in range(5)}
        assert ax.get_title().endswith("20% of the grid within 1 point of its best")  # i = 0, and i = 1 with j = 0
    corner = figure.axes[0].collections[0].get_array().reshape(5, 6)[0, 0]
    assert corner == 3.0  # smallest γ, smallest τ


@pytest.mark.parametrize("name", STUDIES)
def test_without_records_there_is_no_figure(name, tmp_path):
    assert STUDIES[name](load_runs(tmp_path)) is None
