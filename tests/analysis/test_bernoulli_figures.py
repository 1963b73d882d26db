"""The figures of the naive Bernoulli network on made-up runs whose numbers are known."""

import numpy as np
import pandas as pd
import pytest

from analysis.bernoulli_figures import (
    FIGURES,
    SLIDES_NET,
    STAGES,
    ablation,
    error_by_stage,
    slides_net,
    weight_probabilities,
)
from analysis.experiments import experiment_settings
from analysis.selection import load_runs


def bernoulli_run(method, seed, error, **more):
    settings = {key: values[0] for key, values in experiment_settings("bernoulli_mnist").items()}
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
    figure = error_by_stage(pd.DataFrame([*rows, bernoulli_run("ste", 0, 3.0), bernoulli_run("ste", 1, 4.0)]))
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
    figure = weight_probabilities(pd.DataFrame([bernoulli_run("bernoulli", 0, 6.5, diagnostics=layers)]))
    for ax, rows in zip(figure.axes, shares.values(), strict=False):
        drawn = ax.collections[0].get_array().reshape(2, 2)  # bin × epoch
        np.testing.assert_allclose(drawn, np.maximum(np.array(rows).T, 1e-4))


@pytest.mark.parametrize("name", FIGURES)
def test_without_records_there_is_no_figure(name, tmp_path):
    assert FIGURES[name](load_runs(tmp_path)) is None


def test_without_diagnostics_there_is_no_histogram():
    assert weight_probabilities(pd.DataFrame([bernoulli_run("bernoulli", 0, 6.5, diagnostics={})])) is None


def rows_of(experiment, **more):
    settings = experiment_settings(experiment)
    fixed = {key: values[0] for key, values in settings.items()} | {"limit_train": 0, "run_id": experiment}
    return [fixed | {"seed": seed} | more for seed in (0, 1)]


def test_the_slides_net_shows_the_lowest_error_of_each_of_its_runs():
    errors = {name: [9.0, 2.0 + i, 8.0] for i, name in enumerate(SLIDES_NET)}
    rows = []
    for name, (_, column) in SLIDES_NET.items():
        rows += rows_of(name, curves={"val_error": [7.0], "val_soft_error": [7.0]} | {column: errors[name]})
    (ax,) = slides_net(pd.DataFrame(rows)).axes
    shown = [sorted({y for _, y in c.get_offsets()}) for c in ax.collections if len(c.get_offsets()) == 2]
    assert shown == [[2.0 + i] for i in range(len(SLIDES_NET))]
    assert [t.get_text() for t in ax.get_xticklabels()] == [label for label, _ in SLIDES_NET.values()]


def test_the_ablation_has_a_panel_for_each_kind_of_activation():
    settings = experiment_settings("ablation_bernoulli")
    fixed = {key: values[0] for key, values in settings.items() if len(values) == 1}
    rows = [
        fixed | {"method.how": how, "method.activations": a, "method.binarize": b, "seed": 0, "validation.error": e}
        for how, e in (("nominal", 5.0), ("clt", 7.0))
        for a in settings["method.activations"]
        for b in settings["method.binarize"]
    ]
    hard, annealed = ablation(pd.DataFrame(rows)).axes
    for ax in (hard, annealed):
        points = [y for c in ax.collections for _, y in c.get_offsets()]
        assert sorted(points) == [5.0] * 4 + [7.0] * 4
    begun = [row for row in rows if row["method.activations"] == "hard"]
    assert ablation(pd.DataFrame(begun)) is None
