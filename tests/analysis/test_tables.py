"""The tables on made-up runs whose verdicts and gaps are known."""

import math

import pandas as pd
import pytest

from analysis.cells import cells_of, compared
from analysis.formats import latex, markdown
from analysis.published import SOURCES, published_errors
from analysis.selection import RESULTS
from analysis.tables import costs, error_table, first_below, overview, ranking
from tests.analysis.made_up import run

PUBLISHED = pd.read_csv(RESULTS / "published.csv")


def test_a_ranking_is_by_mean_error_and_tests_nothing():
    errors = {"ste": [1.0, 1.2, 1.1], "bop": [1.1, 1.4, 1.3], "pbop": [5.0, 5.1, 5.3], "bop2nd": [1.2]}
    runs = [run(m, s, e) for m, es in errors.items() for s, e in enumerate(es)]
    runs += [run("real", s, 0.5, real=True) for s in range(3)]
    result = ranking(cells_of(pd.DataFrame(runs)), "MNIST", "mlp 64×2").set_index("method")
    assert list(result.index) == ["ste", "bop2nd", "bop", "pbop (reconstruction)", "real"]
    assert result["role"].tolist() == [*4 * ["competitor"], "reference"]
    assert result["test error, %"].tolist() == ["1.10 ± 0.10", "1.20", "1.27 ± 0.15", "5.13 ± 0.15", "0.50 ± 0.00"]
    assert result.loc["bop2nd", ["95 % interval", "n"]].tolist() == ["", "1"]
    assert not {"p (Holm)", "verdict"} & set(result)
    assert "note" not in result.attrs


def test_rows_of_other_budgets_are_said_to_be_no_comparison():
    shared = {"batch_size": 100, "loss": "cross_entropy"}
    runs = [run("ste", 0, 1.0, **shared), run("bop", 0, 2.0, **shared | {"epochs": 9, "loss": "squared_hinge"})]
    result = ranking(cells_of(pd.DataFrame(runs)), "MNIST", "mlp 64×2")
    assert result.attrs["note"] == "These rows differ in epochs and loss, so their errors cannot be compared."
    assert result["loss"].tolist() == ["cross_entropy", "squared_hinge"]
    assert "batch" not in result
    assert markdown(result).endswith(f"|\n\n{result.attrs['note']}\n")
    assert latex(result).startswith(f"% {result.attrs['note']}\n")


def test_a_setting_that_only_failed_has_a_row_without_an_error():
    lost = run("bop", 0, math.nan, validation=math.nan, failed=5, best_epoch=None, curves={})
    table = cells_of(pd.DataFrame([run("ste", s, 1.0 + s) for s in range(2)] + [lost]))
    result = ranking(table, "MNIST", "mlp 64×2").set_index("method")
    assert result.loc["bop", ["test error, %", "n"]].tolist() == ["", "0 (5 failed)"]
    assert costs(table, 3.0)["method"].tolist() == ["ste"]


def test_packed_nets_have_columns_where_there_are_any():
    def packed(error, differ=0):
        sizes = {"packed.bytes": 41.25 * 1024, "packed.float32_bytes": 1150.0 * 1024}
        return {"deployed": error, "packed.test.differ": differ, **sizes}

    old = [run(m, s, 1.0) for m in ("ste", "bop") for s in range(2)]
    assert "packed, KiB" not in set(ranking(cells_of(pd.DataFrame(old)), "MNIST", "mlp 64×2"))
    whole = [run("ste", s, 9.0) | packed(1.0 + s, differ=s + 1) for s in range(2)]  # the trained net's error was 9
    half = [run("bop", 0, 1.5) | packed(1.5), run("bop", 1, 1.5)]
    result = ranking(cells_of(pd.DataFrame(whole + half)), "MNIST", "mlp 64×2").set_index("method")
    columns = ["test error, %", "packed, KiB", "float32, KiB", "differ"]
    assert result.loc["ste", columns].tolist() == ["1.50 ± 0.71", "41.2", "1150.0", "3"]
    assert result.loc["bop", columns].tolist() == ["1.50 ± 0.00", "", "", ""]  # one of its runs has none


def test_real_weights_are_a_reference_too():
    halves = [run("half", s, 0.5, **{"model.binary_weights": False}) for s in range(2)]
    table = cells_of(pd.DataFrame([run("ste", s, 1.0 + s) for s in range(2)] + halves))
    assert ranking(table, "MNIST", "mlp 64×2")["role"].tolist() == ["competitor", "reference"]
    assert compared(table) == [("MNIST", "mlp 64×2")]
    assert compared(table[table["key"] == "half"]) == []


def test_real_and_binary_activations_of_one_method_are_two_cells():
    runs = [run("bayesbinn", s, 1.0 + s, real=True) for s in range(3)]
    runs += [run("bayesbinn", s, 2.0 + s, setting="signs") for s in range(2)] + [run("ste", 0, 1.5)]
    early = run("bayesbinn", 5, math.nan, validation=math.nan, setting="early", failed=1, best_epoch=None)
    runs.append(
        early | {f"model.{name}": math.nan for name in ("reconstruction", "binary_weights", "binary_activations")}
    )
    table = cells_of(pd.DataFrame(runs))
    assert table[["key", "family", "n", "settings"]].to_numpy().tolist() == [
        ["bayesbinn", "bayesbinn", 3, 1],
        ["bayesbinn, activations ±1", "bayesbinn", 2, 1],
        ["ste", "ste", 1, 1],
    ]
    assert table["binary_activations"].tolist() == [False, True, True]
    assert ranking(table, "MNIST", "mlp 64×2")["role"].tolist() == ["competitor", "competitor", "reference"]
    only = cells_of(pd.DataFrame([runs[-1], runs[-2]]))  # nothing is known of the method but that it failed
    assert only["method"].tolist() == ["bayesbinn", "ste"]
    mine = error_table(table, PUBLISHED, "bayesbinn")
    assert mine[mine["source"] == "this benchmark"]["n"].tolist() == ["3", "2"]


def test_failed_seeds_are_counted():
    table = cells_of(
        pd.DataFrame([run("ste", s, 1.0 + s, failed=2) for s in range(3)] + [run("bop", 0, 1.5, failed=0)])
    )
    result = ranking(table, "MNIST", "mlp 64×2").set_index("method")
    assert result["n"].to_dict() == {"bop": "1", "ste": "3 (2 failed)"}


def test_published_accuracies_become_errors_and_stand_beside_ours():
    table = cells_of(
        pd.DataFrame([run("bayesbinn", s, 1.2 + s / 10, real=True) for s in range(2)] + [run("ste", 0, 1.5)])
    )
    rows = error_table(table, PUBLISHED, "bayesbinn")
    of = rows.set_index(["data set", "method"])["test error, %"]
    assert of["MNIST", "BayesBiNN"] == "1.14 ± 0.05"
    assert of["MNIST", "bayesbinn"] == "1.25 ± 0.07"
    assert "ste" not in set(rows["method"])  # binary activations have no place there
    assert list(of["CIFAR-10"].index) == ["BayesBiNN", "STE", "Full precision"]


def test_published_imagenet_figures_are_top_1_errors_beside_ours():
    ours = [run("recu", 0, 40.5, label="ImageNet", **{"net.name": "resnet18"}), run("recu", 0, 3.5)]
    rows = error_table(cells_of(pd.DataFrame(ours)), PUBLISHED, "recu")
    imagenet = rows[rows["data set"].str.startswith("ImageNet")]
    assert imagenet["test error, %"].tolist() == ["39.02", "40.50"]  # no top-5 error
    assert imagenet["source"].str.contains("checkpoint chosen on the test set").tolist() == [True, False]
    assert "MNIST" not in set(rows["data set"])


def test_every_published_error_is_in_a_table():
    kept = published_errors(PUBLISHED)
    assert set(kept["table"]) == {table for tables, _ in SOURCES.values() for table in tables}
    expected = [
        row.value if row.metric == "test error %" else 100 - row.value
        for row in PUBLISHED.itertuples()
        if row.metric in ("test error %", "test accuracy %", "top-1 %")
    ]
    assert kept["error"].tolist() == pytest.approx(expected)


def test_the_note_on_the_slides_net_holds(committed_material):
    cells = committed_material.cells
    on_it = cells[(cells["net"] == "bernoulli_cnn width 8, pixels ±1, crop 24") & (cells["epochs"] == 40)]
    errors = on_it.set_index("family")["mean"]
    assert errors["ste"] < errors["bernoulli"]
    assert "the reverse of the slides'" in error_table(cells, PUBLISHED, "bernoulli").attrs["note"]
    assert "note" not in error_table(cells, PUBLISHED, "bop").attrs


def test_missing_is_empty_and_never_zero():
    rows = overview(cells_of(pd.DataFrame([run("ste", 0, 0.0)])), PUBLISHED)
    mine = rows[rows["source"] == "this benchmark"].iloc[0]
    assert mine["test error, %"] == "0.00"  # a zero that was measured, without a spread
    torch7 = rows[rows["method"] == "BNN (Torch7)"].iloc[0]
    assert (torch7["n"], torch7["epochs"]) == ("", "")
    assert not rows.isna().any().any()
    assert overview(cells_of(pd.DataFrame()), PUBLISHED)["source"].ne("this benchmark").all()


@pytest.mark.parametrize(
    ("target", "expected"), [(5.0, (1, 10.0)), (3.0, (2, 20.0)), (2.5, (3, 30.0)), (1.0, (None, None))]
)
def test_time_to_a_target(target, expected):
    assert first_below(run("ste", 0, 1.0)["curves"], target) == expected
    table = costs(cells_of(pd.DataFrame([run("ste", s, 1.0) for s in range(2)])), target)
    assert table["peak memory, MiB"].tolist() == ["1024"]
    assert table[f"epochs to {target:g} %"].tolist() == ["" if expected[0] is None else str(expected[0])]
