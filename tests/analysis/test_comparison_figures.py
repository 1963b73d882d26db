"""The figures that compare methods: their lines, bands and steps on made-up runs whose numbers are known."""

import numpy as np
import pandas as pd

from analysis.cells import cells_of
from analysis.comparison_figures import cell_curves, error_while_training, flip_rates, in_order
from analysis.plotting import colour, marker
from configs.registry import METHODS
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


def test_lines_are_medians_and_bands_the_middle_half():
    figure = error_while_training(cells_of(runs()), *NET)
    by_epoch, by_seconds = figure.axes
    for ax, ste, bop in ((by_epoch, (1, 2), (1, 2)), (by_seconds, (20, 40), (5, 6))):
        drawn = {tuple(np.round(item.get_xydata().flatten(), 9)) for item in ax.lines if len(item.get_xdata())}
        assert {(ste[0], 5.0, ste[1], 3.0), (bop[0], 9.0, bop[1], 8.0)} <= drawn
    paths = [path for band in by_epoch.collections for path in band.get_paths()]  # none of a single seed
    corners = {tuple(np.round(v, 9)) for path in paths for v in path.vertices}
    assert {(1.0, 4.5), (1.0, 5.5)} <= corners  # of 4 and 6, quartiles by linear interpolation


def test_runs_of_other_epochs_than_a_suites_are_not_drawn():
    lines = curve([9.0, 1.0], [1.0, 2.0], [0.1, 0.1])
    longer = [run("ste", s, 1.0, run_id=f"l{s}", setting="longer", epochs=40, curves=lines) for s in range(3)]
    suite = runs().assign(replicate=[1, 2, 1, 1])
    cells = cells_of(pd.concat([suite, pd.DataFrame(longer)], ignore_index=True))
    assert "ste, 40 epochs" in set(cells["key"])
    assert set(cell_curves(cells, *NET)["method"]) == {"ste", "bop", "real"}


def test_the_legend_says_whose_activations_are_real():
    lines = curve([3.0, 2.0], [1.0, 2.0], [0.5, 0.5])
    relu = run("bayesbinn", 0, 1.5, real=True, run_id="e", curves=lines)
    signs = run("bayesbinn", 0, 2.5, setting="signs", run_id="f", curves=lines)
    table = cells_of(pd.concat([runs(), pd.DataFrame([relu, signs])], ignore_index=True))
    legend = error_while_training(table, *NET).axes[1].get_legend()
    expected = ["real", "ste", "bop", "bayesbinn (real activations)", "bayesbinn, activations ±1"]
    assert [entry.get_text() for entry in legend.get_texts()] == expected


def test_flips_leave_out_the_real_net_and_epochs_without_a_flip():
    (ax,) = flip_rates(cells_of(runs()), *NET).axes
    drawn = {tuple(np.round(item.get_ydata(), 9)) for item in ax.lines if len(item.get_ydata())}
    assert drawn == {(0.02, 1e-4), (0.1, 1e-3)}


def test_where_only_the_real_net_has_an_error_there_are_no_flips():
    whole = runs()
    finished = whole["method.name"] == "real"
    lost = {name: whole[name].where(finished) for name in ("deployed", "best_epoch")}
    assert flip_rates(cells_of(whole.assign(**lost)), *NET) is None


def test_without_diagnostics_there_are_no_flips():
    bare = runs()
    bare["curves"] = [{k: v for k, v in c.items() if k != "flip_rate"} for c in bare["curves"]]
    assert flip_rates(cells_of(bare), *NET) is None


def test_each_method_has_the_colour_and_marker_of_all_figures():
    (ax,) = flip_rates(cells_of(runs()), *NET).axes
    shown = {(item.get_color(), item.get_marker()) for item in ax.lines if len(item.get_ydata())}
    assert shown == {(colour(method), marker(method)) for method in ("ste", "bop")}
    looks = [(colour(method), marker(method)) for method in METHODS]
    assert len(set(looks)) == len(METHODS)
    assert (colour("mine"), marker("mine")) not in looks
    assert colour("bayesbinn, activations ±1") == colour("bayesbinn")


def test_legends_are_in_the_order_of_the_registry():
    keys = ["other", "ste", "bayesbinn, activations ±1", "real", "bayesbinn"]
    assert in_order(keys) == ["real", "ste", "bayesbinn", "bayesbinn, activations ±1", "other"]
