"""Runs around what searches chose, on tables whose answers are known."""

import math

import pytest

from analysis.perturbed import increases, load_perturbed, perturbed_figure, perturbed_table
from analysis.rebuild import gather, tables
from analysis.suites import load_suites
from configs.settings import UserError
from tests.analysis.made_up_suites import make_folders, make_runs, make_suite, write

HEAD = "trial,state,validation_error,lr,stairs,clip,schedule"
BOP = {  # replicate → its setting as chosen, then moved, with the validation error; lr is 0.1 r in the tuned files
    1: [
        "0,complete,4.0,0.1,3,,constant",
        "1,complete,5.0,0.0333,3,,constant",
        "2,complete,3.5,0.3,3,,constant",
        "3,complete,4.0,0.1,1,,constant",
        "4,failed,,0.1,9,,constant",
    ],
    2: [
        "0,complete,6.0,0.2,6,,constant",
        "1,complete,6.5,0.0667,6,,constant",
        "2,complete,8.5,0.6,6,,constant",
        "3,complete,16.0,0.2,2,,constant",
        "4,complete,7.0,0.2,18,,constant",
    ],
}
STE = {  # a rate of 0.6 is refused
    1: ["0,complete,3.0,0.1,1,,", "1,complete,2.0,0.0333,1,,", "2,complete,3.5,0.3,1,,"],
    2: ["0,complete,3.0,0.2,1,,", "1,complete,3.0,0.0667,1,,"],
}
LOST = {1: ["0,failed,,0.1,1,,", "1,complete,2.0,0.0333,1,,"]}


@pytest.fixture
def folder(tmp_path):
    folders = make_folders(tmp_path)
    make_suite(folders, "quick", replicates=2, runs=1)
    make_runs(folders, "quick", {name: [[4.0], [5.0]] for name in ("bop", "ste", "pbop")}, lr=0.1)
    for method, replicates in {"bop": BOP, "ste": STE, "pbop": LOST}.items():
        for r, lines in replicates.items():
            write(folders.results / f"perturbed/quick/{method}/r{r}.csv", "\n".join([HEAD, *lines]) + "\n")
            chosen = ",".join(lines[0].split(",")[3:])
            search = ["0,failed,,9,9,,", f"1,complete,3.0,{chosen}", "2,complete,3.0,8,8,,", "3,complete,3.5,7,7,,"]
            write(folders.results / f"trials/quick/{method}/r{r}.csv", "\n".join([HEAD, *search]) + "\n")
    return folders


@pytest.fixture
def table(folder):
    (suite,) = load_suites(folder.configs)
    return load_perturbed(folder.results, suite)


def test_an_increase_is_to_the_chosen_configuration_of_the_same_replicate(table):
    found = {(row.method, row.setting, row.direction): row for row in increases(table).itertuples()}
    assert found["bop", "lr", "lower"].chosen == [0.1, 0.2]
    assert found["bop", "lr", "lower"].increase == (1.0 + 0.5) / 2
    assert found["bop", "lr", "higher"].increase == (-0.5 + 2.5) / 2
    assert found["bop", "stairs", "lower"].increase == (0.0 + 10.0) / 2
    assert found["bop", "stairs", "higher"].increase == math.inf  # one of the two runs failed
    assert (found["ste", "lr", "higher"].chosen, found["ste", "lr", "higher"].increase) == ([0.1], 0.5)
    assert math.isnan(found["pbop", "lr", "lower"].increase)  # nothing to compare with
    assert len(found) == 7


def test_the_table_tells_failed_runs_from_values_that_there_are_not(folder):
    table = tables(gather(folder.results, folder.configs))["suite_quick_perturbed"]
    assert table.to_numpy().tolist() == [
        ["ste", "lr", "0.1, 0.2", "-0.50", "+0.50 (n = 1)"],
        ["bop", "lr", "0.1, 0.2", "+0.75", "+1.00"],
        ["bop", "stairs", "3, 6", "+5.00", "failed"],
        ["pbop", "lr", "0.1", "", ""],
    ]
    assert list(table)[-2:] == ["÷ 3", "× 3"]
    errors = {"real": [[4.0], [5.0]]}
    make_runs(folder, "quick", errors, trials=errors, lr=0.1)
    assert "suite_quick_perturbed" not in tables(gather(folder.results, folder.configs))  # not before `real` has some
    write(
        folder.results / "perturbed/quick/real/r1.csv",
        "trial,state,validation_error,lr\n0,complete,4.0,0.1\n1,complete,4.5,0.3\n",
    )
    assert "suite_quick_perturbed" in tables(gather(folder.results, folder.configs))
    for path in (folder.results / "perturbed").rglob("*.csv"):
        path.unlink()
    assert "suite_quick_perturbed" not in tables(gather(folder.results, folder.configs))


def test_a_replicate_without_an_error_of_its_own_does_not_count(folder):
    path = folder.results / "perturbed/quick/bop/r1.csv"
    path.write_text(path.read_text().replace("0,complete,4.0,0.1,", "0,failed,,0.1,", 1))
    (suite,) = load_suites(folder.configs)
    rows = perturbed_table(load_perturbed(folder.results, suite)).set_index(["method", "setting"])
    assert rows.loc[("bop", "lr")].tolist() == ["0.1, 0.2", "+0.50 (n = 1)", "+2.50 (n = 1)"]


def test_the_figure_names_the_setting_that_matters_most(table):
    figure = perturbed_figure([("MNIST", table), ("digits", table)])
    assert figure is not None
    assert [ax.get_title() for ax in figure.axes] == ["MNIST", "digits"]
    for ax in figure.axes:
        assert [(text.get_text(), *text.xy) for text in ax.texts] == [("lr", 0.5, 0), ("stairs", 10.0, 1)]
        points = {(line.get_xdata()[0], line.get_ydata()[0], line.get_marker()) for line in ax.lines}
        assert {(-0.5, 0, "<"), (0.5, 0, ">"), (5.0, 1, "<"), (10.0, 1, "x")} <= points
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["ste", "bop", "pbop"]
    assert perturbed_figure([]) is None
    assert "n of them" in perturbed_table(table).attrs["note"]


@pytest.mark.parametrize(
    "text",
    [
        "trial,state,lr\n0,complete,0.1\n",
        "trial,state,validation_error,lr\n0,complete,1.0,0.1\n1,complete,1.0,0.1\n",  # nothing moved
        "",
    ],
)
def test_a_table_that_is_none_is_named(folder, text):
    write(folder.results / "perturbed/quick/bop/r1.csv", text)
    with pytest.raises(UserError, match=r"bop/r1\.csv is not a readable table of perturbed runs"):
        gather(folder.results, folder.configs)


@pytest.mark.parametrize(("old", "new"), [(",0.2,", ",0.25,"), (",constant", ",linear"), ("schedule", "order")])
def test_a_table_of_another_search_is_named(old, new, folder):
    path = folder.results / "perturbed/quick/bop/r2.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=r"bop/r2\.csv is of another search: python -m sweeps\.perturb suite=quick"):
        gather(folder.results, folder.configs)
