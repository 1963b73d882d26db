"""Runs around what searches chose, on tables whose answers are known."""

import math

import pytest

from analysis.perturbed import factor_of, increases, load_perturbed, perturbed_figure
from analysis.rebuild import gather, tables
from configs.settings import UserError
from tests.analysis.made_up_suites import make_folders, make_runs, make_suite, write

BOP = {  # replicate → setting as chosen, then moved, with the validation error
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
STE = {1: ["0,complete,3.0,0.5,1,,", "1,complete,2.0,0.167,1,,"]}  # a learning rate of 1.5 is refused


@pytest.fixture
def folder(tmp_path):
    folders = make_folders(tmp_path)
    make_suite(folders, "quick", replicates=2, runs=1)
    make_runs(folders, "quick", {"bop": [[4.0], [5.0]], "ste": [[4.0], [5.0]]})
    for method, replicates in {"bop": BOP, "ste": STE}.items():
        for r, lines in replicates.items():
            text = "\n".join(["trial,state,validation_error,lr,stairs,clip,schedule", *lines]) + "\n"
            write(folders.results / f"perturbed/quick/{method}/r{r}.csv", text)
    return folders


def test_an_increase_is_to_the_chosen_configuration_of_the_same_replicate(folder):
    table = load_perturbed(folder.results / "perturbed", "quick", ["bop"])
    assert set(table["method"]) == {"bop"}
    assert len(table) == 8
    assert factor_of(table) == 3
    found = {(row.setting, row.chosen[0]): row for row in increases(table).itertuples()}
    assert found.keys() == {("lr", 0.1), ("stairs", 3.0)}
    lr, stairs = found["lr", 0.1], found["stairs", 3.0]
    assert (lr.chosen, lr.lower, lr.higher) == ([0.1, 0.2], (1.0 + 0.5) / 2, (-0.5 + 2.5) / 2)
    assert (stairs.chosen, stairs.lower) == ([3.0, 6.0], (0.0 + 10.0) / 2)
    assert math.isnan(stairs.higher)  # one of the two runs failed


def test_the_table_leaves_out_what_there_is_not(folder):
    table = tables(gather(folder.results, folder.configs))["suite_quick_perturbed"]
    assert table.to_numpy().tolist() == [
        ["ste", "lr", "0.5", "-1.00", ""],
        ["bop", "lr", "0.1, 0.2", "+0.75", "+1.00"],
        ["bop", "stairs", "3, 6", "+5.00", ""],
    ]
    assert list(table)[-2:] == ["÷ 3", "× 3"]
    (folder.results / "perturbed/quick/ste/r1.csv").unlink()
    (folder.results / "perturbed/quick/bop/r1.csv").unlink()
    (folder.results / "perturbed/quick/bop/r2.csv").unlink()
    assert "suite_quick_perturbed" not in tables(gather(folder.results, folder.configs))


def test_the_figure_names_the_setting_that_matters_most(folder):
    table = load_perturbed(folder.results / "perturbed", "quick", ["ste", "bop"])
    figure = perturbed_figure([("MNIST", table), ("digits", table)])
    assert figure is not None
    assert [ax.get_title() for ax in figure.axes] == ["MNIST", "digits"]
    for ax in figure.axes:
        assert [text.get_text() for text in ax.texts] == ["lr", "stairs"]
        assert [text.xy for text in ax.texts] == [(-1.0, 0), (5.0, 1)]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["ste", "bop"]
    assert perturbed_figure([]) is None


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
        load_perturbed(folder.results / "perturbed", "quick", ["bop"])
