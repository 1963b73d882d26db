"""Which runs make a cell, on made-up runs."""

import math

import pandas as pd
import pytest

from analysis.cells import cells_of, compared
from tests.analysis.made_up import run


def test_a_cell_is_the_setting_with_most_seeds_then_least_validation_error():
    runs = pd.DataFrame(
        [
            run("bop", 0, 9.0, validation=1.0, setting="one seed, lucky"),
            *(run("bop", s, 3.0 + s, validation=2.5, setting="worse") for s in range(3)),
            *(run("bop", s, 4.0 + s, validation=2.4, setting="chosen") for s in range(3)),
            run("bop", 0, 0.1, validation=0.1, setting="few examples", limit_train=100),
            run("bop", 0, math.nan, validation=0.1, setting="no test"),
        ]
    )
    (cell,) = cells_of(runs).to_dict("records")
    assert (cell["n"], cell["mean"], cell["sd"], cell["settings"]) == (3, 5.0, 1.0, 3)
    assert set(cell["runs"]["setting"]) == {"bop chosen"}
    assert cell["net"] == "mlp 64×2"


def test_methods_that_only_failed_are_not_compared():
    lost = [run(m, 0, math.nan, validation=math.nan, failed=1, best_epoch=None, curves={}) for m in ("ste", "bop")]
    assert compared(cells_of(pd.DataFrame(lost))) == []


def test_runs_without_a_test_are_no_cell():
    untested = [run("bop", s, math.nan, validation=1.0) for s in range(2)]
    assert cells_of(pd.DataFrame([run("ste", 0, 1.0), *untested]))["key"].tolist() == ["ste"]


def test_without_runs_there_are_no_cells():
    assert cells_of(pd.DataFrame()).empty
    assert compared(cells_of(pd.DataFrame())) == []


def test_of_settings_with_equal_errors_the_first_counts():
    runs = [run("bop", s, 2.0 + s, setting=name) for name in ("b", "a") for s in range(2)]
    runs[0]["deployed"] = 7.0
    (cell,) = cells_of(pd.DataFrame(runs)).to_dict("records")
    assert set(cell["runs"]["setting"]) == {"bop a"}
    assert (cell["n"], cell["mean"]) == (2, 2.5)


def test_a_suite_is_one_cell_whose_values_are_those_of_its_replicates():
    errors = {(1, 1001): 2.0, (1, 1002): 4.0, (2, 2001): 5.0, (2, 2002): 7.0}
    suite = [run("bop", seed, e, setting="suite", replicate=r, failed=1) for (r, seed), e in errors.items()]
    seeds = [run("bop", s, 1.0, setting="many seeds", replicate=None) for s in range(9)]
    (cell,) = cells_of(pd.DataFrame(seeds + suite)).to_dict("records")
    assert (cell["n"], cell["mean"], cell["settings"], cell["failed"]) == (2, 4.5, 2, 1)
    assert cell["sd"] == pytest.approx(math.sqrt(4.5))  # of 3 and 6
    assert len(cell["runs"]) == 4


def test_runs_of_other_epochs_have_a_cell_beside_the_suites():
    suite = [run("ste", r * 1000 + 1, 2.0 + r, replicate=r, setting="suite") for r in (1, 2)]
    long = [run("ste", s, 1.0, epochs=40, setting="long") for s in range(3)]
    longer = [run("ste", 0, 0.5, epochs=80, setting="longer")]
    like_the_suite = [run("ste", 0, 0.1, setting="lucky")]
    cells = cells_of(pd.DataFrame([*like_the_suite, *long, *longer, *suite]))
    assert cells[["key", "family", "epochs", "n", "mean", "settings"]].to_numpy().tolist() == [
        ["ste", "ste", 3, 2, 3.5, 2],
        ["ste, 40 epochs", "ste", 40, 3, 1.0, 1],
        ["ste, 80 epochs", "ste", 80, 1, 0.5, 1],
    ]


def test_runs_on_a_part_of_the_training_set_are_cells_where_they_are_asked_for():
    runs = pd.DataFrame([run("ste", 0, 1.0), run("ste", 0, 2.0, limit_train=100)])
    assert cells_of(runs)[["net", "mean"]].to_numpy().tolist() == [["mlp 64×2", 1.0]]
    assert cells_of(runs, parts=True)[["net", "mean"]].to_numpy().tolist() == [
        ["mlp 64×2", 1.0],
        ["mlp 64×2, 100 training examples", 2.0],
    ]
