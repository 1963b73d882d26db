"""The figures that compare methods: their lines, bands and steps on made-up runs whose numbers are known."""

import numpy as np
import pandas as pd

from analysis.cells import cells_of
from analysis.comparison_figures import cell_curves, error_ratios, error_while_training, flip_rates, performance_profile
from tests.analysis.made_up import run

NET = ("MNIST", "mlp 64×2")


def curve(errors, elapsed, flips):
    return {"epoch": [1, 2], "val_error": errors, "elapsed": elapsed, "flip_rate": flips}


def runs():
    return pd.DataFrame(
        [
            run("ste", 0, 2.0, run_id="a", curves=curve([4.0, 2.0], [10.0, 20.0], [1e-2, 0.0])),
            run("ste", 1, 4.0, run_id="b", curves=curve([6.0, 4.0], [30.0, 60.0], [3e-2, 1e-4])),
            run("bop", 0, 6.0, run_id="c", curves=curve([9.0, 8.0], [5.0, 6.0], [1e-1, 1e-3])),
            run("real", 0, 1.0, real=True, run_id="d", curves=curve([2.0, 1.0], [1.0, 2.0], [0.5, 0.5])),
        ]
    )


def test_seconds_are_the_mean_of_the_seeds():
    curves = cell_curves(cells_of(runs()), *NET)
    seconds = curves.groupby(["method", "epoch"])["elapsed"].unique()
    expected = {"ste": (20.0, 40.0), "bop": (5.0, 6.0), "real": (1.0, 2.0)}
    assert {key: list(value) for key, value in seconds.items()} == {
        (method, epoch + 1): [value] for method, values in expected.items() for epoch, value in enumerate(values)
    }


def test_lines_are_means_and_bands_standard_deviations():
    figure = error_while_training(cells_of(runs()), *NET)
    by_epoch, by_seconds = figure.axes
    for ax, ste, bop in ((by_epoch, (1, 2), (1, 2)), (by_seconds, (20, 40), (5, 6))):
        drawn = {tuple(np.round(item.get_xydata().flatten(), 9)) for item in ax.lines if len(item.get_xdata())}
        assert {(ste[0], 5.0, ste[1], 3.0), (bop[0], 9.0, bop[1], 8.0)} <= drawn
    paths = [path for band in by_epoch.collections for path in band.get_paths()]  # none of a single seed
    corners = {tuple(np.round(v, 9)) for path in paths for v in path.vertices}
    sd = np.std([4.0, 6.0], ddof=1)
    assert {(1.0, round(5 - sd, 9)), (1.0, round(5 + sd, 9))} <= corners


def test_the_legend_says_whose_activations_are_real():
    lines = curve([3.0, 2.0], [1.0, 2.0], [0.5, 0.5])
    relu = run("bayesbinn", 0, 1.5, real=True, run_id="e", curves=lines)
    signs = run("bayesbinn", 0, 2.5, setting="signs", run_id="f", curves=lines)
    table = cells_of(pd.concat([runs(), pd.DataFrame([relu, signs])], ignore_index=True))
    legend = error_while_training(table, *NET).axes[1].get_legend()
    expected = ["real", "bayesbinn (real activations)", "bayesbinn, activations ±1", "bop", "ste"]
    assert [entry.get_text() for entry in legend.get_texts()] == expected


def test_flips_leave_out_the_real_net_and_epochs_without_a_flip():
    (ax,) = flip_rates(cells_of(runs()), *NET).axes
    drawn = {tuple(np.round(item.get_ydata(), 9)) for item in ax.lines if len(item.get_ydata())}
    assert drawn == {(0.02, 1e-4), (0.1, 1e-3)}


def many():
    errors = {
        "A": {"ste": 2.0, "bop": 3.0, "pbop": 2.5},
        "B": {"ste": 4.0, "bop": 2.0, "bop2nd": 2.0},
        "C": {"ste": 1.0},
    }
    return pd.DataFrame(
        [run(m, 0, e, label=data) for data, row in errors.items() for m, e in row.items()]
        + [run("real", 0, 0.1, real=True, label="A")]
    )


def test_ratios_to_the_lowest_error_of_a_setting():
    ratios = error_ratios(cells_of(many()))
    assert list(ratios.columns) == ["A, mlp 64×2", "B, mlp 64×2"]  # three methods or more
    expected = {"bop": [1.5, 1], "bop2nd": [np.nan, 1], "pbop": [1.25, np.nan], "ste": [1, 2]}
    assert list(ratios.index) == list(expected)
    np.testing.assert_allclose(ratios.to_numpy(), list(expected.values()))


def test_a_setting_with_an_error_of_zero_has_no_ratios():
    zero = [run(m, 0, e, label="Z") for m, e in (("ste", 0.0), ("bop", 1.0), ("pbop", 0.0))]
    assert error_ratios(cells_of(pd.DataFrame(zero))).empty


def test_without_diagnostics_there_are_no_flips():
    bare = runs()
    bare["curves"] = [{k: v for k, v in c.items() if k != "flip_rate"} for c in bare["curves"]]
    assert flip_rates(cells_of(bare), *NET) is None


def test_a_profile_counts_missing_settings_as_unsolved():
    (ax,) = performance_profile(cells_of(many())).axes

    def solved(method, r):
        (item,) = [item for item in ax.lines if item.get_label() == method]
        x, y = item.get_xdata(), item.get_ydata()
        return y[np.searchsorted(x, r, side="right") - 1]

    assert [solved("ste", r) for r in (1.0, 1.9, 2.0)] == [0.5, 0.5, 1.0]
    assert [solved("bop", r) for r in (1.0, 1.4, 1.5)] == [0.5, 0.5, 1.0]
    assert [solved("bop2nd", r) for r in (1.0, 2.05)] == [0.5, 0.5]
    assert [solved("pbop", r) for r in (1.0, 1.25)] == [0.0, 0.5]


def test_without_three_methods_on_a_setting_there_is_no_profile():
    assert performance_profile(cells_of(runs())) is None
    assert performance_profile(cells_of(pd.DataFrame())) is None
