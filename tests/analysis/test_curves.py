"""The figures over data sets and nets: their lines, bands and steps on made-up runs whose numbers are known."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from analysis.bernoulli import FIGURES, STAGES, probabilities, stages
from analysis.curves import curves_of, error_ratios, error_while_training, flip_rates, performance_profile
from analysis.select import load_runs, settings_of
from analysis.tables import cells
from tests.analysis.test_tables import run

NET = ("MNIST", "mlp 64×2")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


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
    curves = curves_of(cells(runs()), *NET)
    seconds = curves.groupby(["method", "epoch"])["elapsed"].unique()
    expected = {"ste": (20.0, 40.0), "bop": (5.0, 6.0), "real": (1.0, 2.0)}
    assert {key: list(value) for key, value in seconds.items()} == {
        (method, epoch + 1): [value] for method, values in expected.items() for epoch, value in enumerate(values)
    }


def test_lines_are_means_and_bands_standard_deviations():
    figure = error_while_training(cells(runs()), *NET)
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
    table = cells(pd.concat([runs(), pd.DataFrame([relu, signs])], ignore_index=True))
    legend = error_while_training(table, *NET).axes[1].get_legend()
    expected = ["real", "bayesbinn (real activations)", "bayesbinn, activations ±1", "bop", "ste"]
    assert [entry.get_text() for entry in legend.get_texts()] == expected


def test_flips_leave_out_the_real_net_and_epochs_without_a_flip():
    (ax,) = flip_rates(cells(runs()), *NET).axes
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
    ratios = error_ratios(cells(many()))
    assert list(ratios.columns) == ["A, mlp 64×2", "B, mlp 64×2"]  # three methods or more
    expected = {"bop": [1.5, 1], "bop2nd": [np.nan, 1], "pbop": [1.25, np.nan], "ste": [1, 2]}
    assert list(ratios.index) == list(expected)
    np.testing.assert_allclose(ratios.to_numpy(), list(expected.values()))


def test_a_setting_with_an_error_of_zero_has_no_ratios():
    zero = [run(m, 0, e, label="Z") for m, e in (("ste", 0.0), ("bop", 1.0), ("pbop", 0.0))]
    assert error_ratios(cells(pd.DataFrame(zero))).empty


def test_without_diagnostics_there_are_no_flips():
    bare = runs()
    bare["curves"] = [{k: v for k, v in c.items() if k != "flip_rate"} for c in bare["curves"]]
    assert flip_rates(cells(bare), *NET) is None
    assert probabilities(pd.DataFrame([bernoulli_run("bernoulli", 0, 6.5, diagnostics={})])) is None


def test_a_profile_counts_missing_settings_as_unsolved():
    (ax,) = performance_profile(cells(many())).axes

    def solved(method, r):
        (item,) = [item for item in ax.lines if item.get_label() == method]
        x, y = item.get_xdata(), item.get_ydata()
        return y[np.searchsorted(x, r, side="right") - 1]

    assert [solved("ste", r) for r in (1.0, 1.9, 2.0)] == [0.5, 0.5, 1.0]
    assert [solved("bop", r) for r in (1.0, 1.4, 1.5)] == [0.5, 0.5, 1.0]
    assert [solved("bop2nd", r) for r in (1.0, 2.05)] == [0.5, 0.5]
    assert [solved("pbop", r) for r in (1.0, 1.25)] == [0.0, 0.5]


def bernoulli_run(method, seed, error, **more):
    settings = {key: values[0] for key, values in settings_of("bernoulli_mnist").items()}
    settings |= {"setting": method, "limit_train": 0, "run_id": f"{method} {seed}", "seed": seed}
    return settings | {"method.name": method, "validation.error": error} | more


def test_the_stages_of_a_bernoulli_net():
    columns = {"val_soft_error": [4.0, 6.0], "val_weights_error": [9.0, 7.0], "val_error": [20.0, 6.5]}
    rows = [
        bernoulli_run("bernoulli", s, 6.5, curves={"epoch": [1, 2], "hardened": [0.0, 1.0]} | {
            name: [value + s for value in values] for name, values in columns.items()
        })
        for s in (0, 2)
    ]  # fmt: skip
    figure = stages(pd.DataFrame([*rows, bernoulli_run("ste", 0, 3.0), bernoulli_run("ste", 1, 4.0)]))
    above, below = figure.axes
    for name, label in STAGES.items():
        (item,) = [item for item in above.lines if item.get_label() == label]
        assert list(item.get_ydata()) == [value + 1 for value in columns[name]]
    (ste,) = [item for item in above.lines if item.get_label().startswith("ste")]
    assert set(ste.get_ydata()) == {3.5}
    assert list(below.lines[0].get_ydata()) == [0.0, 1.0]


def test_the_histogram_shows_every_share_of_every_layer():
    shares = {"0": [[0.25, 0.75], [0.5, 0.5]], "3": [[0.0, 1.0], [1.0, 0.0]]}  # layer → epoch → bin
    layers = {name: {"histogram": rows} for name, rows in shares.items()}
    figure = probabilities(pd.DataFrame([bernoulli_run("bernoulli", 0, 6.5, diagnostics=layers)]))
    for ax, rows in zip(figure.axes, shares.values(), strict=False):
        drawn = ax.collections[0].get_array().reshape(2, 2)  # bin × epoch
        np.testing.assert_allclose(drawn, np.maximum(np.array(rows).T, 1e-4))


@pytest.mark.parametrize("name", FIGURES)
def test_without_records_there_is_no_figure(name, tmp_path):
    assert FIGURES[name](load_runs(tmp_path)) is None
