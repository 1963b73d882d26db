"""What searches found, on tables whose answers are known."""

import math

import pandas as pd
import pytest

from analysis.trials import best_found, load_trials, sensitivity
from configs.settings import UserError
from tests.analysis.made_up_suites import make_folders, make_runs, write

SEARCHES = {"bop": [[5.0, 6.0, 2.5], [4.0, None, 3.9]], "ste": [[None, 3.0, 9.0], [2.0, 2.0, 2.0]]}


def trials(tmp_path):
    folders = make_folders(tmp_path)
    make_runs(folders, "quick", {}, trials=SEARCHES)
    return load_trials(folders.results / "trials", "quick", ["bop", "ste"])


def test_the_best_of_the_first_trials_is_averaged_over_replicates(tmp_path):
    found = best_found(trials(tmp_path))
    expected = {("bop", 1): 4.5, ("bop", 2): 4.5, ("bop", 3): 3.2, ("ste", 2): 2.5, ("ste", 3): 2.5}  # ste: none before
    assert {(row.method, row.trial): row.error for row in found.itertuples()} == pytest.approx(expected)


def test_a_search_with_fewer_trials_keeps_its_best(tmp_path):
    for replicate, errors in enumerate(("8\n1,complete,6\n2,complete,5", "6"), start=1):
        path = tmp_path / f"quick/ste/r{replicate}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"trial,state,validation_error\n0,complete,{errors}\n")
    assert best_found(load_trials(tmp_path, "quick", ["ste"]))["error"].tolist() == [7.0, 6.0, 5.5]


def test_the_share_of_trials_near_the_best_counts_failed_ones(tmp_path):
    found = sensitivity(trials(tmp_path))
    assert found.to_dict() == pytest.approx({"bop": (1 / 3 + 2 / 3) / 2, "ste": (1 / 3 + 1) / 2})


def test_a_table_of_trials(tmp_path):
    table = trials(tmp_path)
    first = table[(table["method"] == "bop") & (table["replicate"] == 2)]
    assert first["trial"].tolist() == [1, 2, 3]
    assert first["state"].tolist() == ["complete", "failed", "complete"]
    assert math.isnan(first["error"].iloc[1])
    only = load_trials(tmp_path / "results/trials", "quick", ["ste"])
    assert set(only["method"]) == {"ste"}


def test_without_tables_there_are_no_trials(tmp_path):
    found = load_trials(tmp_path, "quick", ["ste"])
    assert isinstance(found, pd.DataFrame)
    assert found.empty


def test_what_is_no_table_of_trials_is_named(tmp_path):
    path = tmp_path / "quick/ste/r1.csv"
    write(path, "a,b\n1,2\n")
    with pytest.raises(UserError, match=r"r1\.csv is not a readable table of trials"):
        load_trials(tmp_path, "quick", ["ste"])
