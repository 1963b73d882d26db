"""The tables of suites, on folders of suites that never ran and whose answers are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.control import differences
from analysis.examples import examples_error
from analysis.overall import overall, relative_accuracy, scores
from analysis.rebuild import gather, tables
from analysis.tables import signed
from analysis.verdict import compare, wrong_shares
from tests.analysis.made_up_suites import make_folders, make_runs, make_suite

ERRORS = {
    "real": [[1.0, 1.2], [0.8, 1.0], [0.9, 1.1]],
    "binaryconnect": [[2.0, 2.0], [2.2, 2.0], [2.1, 2.1]],
    "ste": [[3.0, 3.2], [2.8, 3.0], [2.9, 3.1]],
    "bop": [[6.0, 6.2], [6.1, 6.1], [5.8, None]],
    "bop2nd": [[3.3, 3.1], [2.7, 2.9], [3.0, 3.1]],
    "pbnet": [[2.4, 2.5], [2.5, 2.4], [2.3, 2.5]],
    "pbop": [[None, None]] * 3,
}
TRIALS = {"ste": [[4.0, 3.0], [4.0, 3.5], [None, 3.0]], "bop": [[7.0, 9.0]] * 3}
MEANS = {name: [np.mean([e for e in runs if e]) for runs in rows if any(runs)] for name, rows in ERRORS.items()}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folders = make_folders(tmp_path_factory.mktemp("suites"))
    make_suite(folders, "quick")
    make_suite(folders, "wide", net={"width": 128}, runs=1)
    make_suite(folders, "unfinished", net={"width": 256})
    make_runs(folders, "quick", ERRORS, examples=1000, corrupted={"noise": 2.0, "blur": 1.0}, trials=TRIALS)
    wide = {"real": [[1.0]] * 3, "ste": [[3.0], [4.0], [5.0]], "bop": [[2.0], [3.0], [4.0]]}
    make_runs(folders, "wide", wide, net={"width": 128})
    make_runs(folders, "unfinished", {"ste": ERRORS["ste"][:2]}, net={"width": 256})
    return gather(folders.results, folders.configs)


def test_a_difference_has_a_sign_and_zero_no_minus():
    assert [signed(value) for value in (0.126, -0.126, -0.004, 0.0, math.nan)] == [
        "+0.13",
        "-0.13",
        "+0.00",
        "+0.00",
        "",
    ]


def test_each_competitor_is_compared_with_the_control(material):
    table = tables(material)["suite_quick"].set_index("method")
    assert list(table.index) == ["pbnet", "ste", "bop2nd", "bop", "real", "binaryconnect", "pbop"]
    words = ["better than ste, on this test set", "control", "not distinguishable", "worse than ste"]
    assert table["verdict"].tolist() == [*words, "reference", "reference", "all runs failed"]
    assert table.loc["bop", "test error, %"] == "6.00"
    assert table.loc["bop", "difference to ste"] == "+3.00"
    assert table.loc["pbop", ["test error, %", "replicates", "runs"]].tolist() == ["", "0", "0 (6 failed)"]
    assert table.loc["bop", ["replicates", "runs"]].tolist() == ["3", "5 (1 failed)"]
    columns = ["difference to ste", "95 % interval, all methods together"]
    assert table.loc[["ste", "real"], columns].to_numpy().ravel().tolist() == 4 * [""]

    half_width = stats.t.ppf(0.975, 2) * np.std(MEANS["ste"], ddof=1) / math.sqrt(3)
    assert table.loc["ste", "95 % interval"] == f"{3 - half_width:.2f} to {3 + half_width:.2f}"
    rivals = {name: np.array(MEANS[name]) for name in ("bop", "bop2nd", "pbnet")}
    found = differences(rivals, np.array(MEANS["ste"]))["bop"]
    low, high = found.difference - found.half_width, found.difference + found.half_width
    assert table.loc["bop", columns[1]] == f"{low:+.2f} to {high:+.2f}"


def test_the_noise_of_the_test_set_widens_the_intervals(material):
    found = material.complete[0]
    rows = {row.method: row for row in compare(found)}
    own, control = wrong_shares(found, "pbnet"), wrong_shares(found, "ste")
    assert own.shape == control.shape == (3, 1000)
    assert 100 * control.mean(axis=1) == pytest.approx(MEANS["ste"])
    row = rows["pbnet"]
    expected = math.hypot(row.difference.half_width, row.difference.score * 100 * examples_error(own, control))
    assert row.difference_wide == pytest.approx(expected)
    assert abs(row.difference.difference) < row.difference_wide
    assert row.wide == pytest.approx(math.hypot(row.error.half_width, 1.959964 * 100 * examples_error(own)))


def test_records_from_before_wrong_examples_were_kept_have_empty_columns(material):
    table = tables(material)["suite_wide"].set_index("method")
    assert set(table["with test-set noise"]) == set(table["difference with test-set noise"]) == {""}
    assert table.loc["bop", "verdict"] == "not distinguishable"


def test_all_settings_at_a_glance(material):
    table = tables(material)["verdict"].set_index("method")
    quick, wide, every = table.columns
    assert [quick, wide] == [f"{found.setting}: test error, %" for found in material.complete]
    order = list(table.index)
    rows = overall(scores(material.complete))
    assert order == [*(row.method for row in rows), "real", "binaryconnect", "pbop"]
    assert table.loc[["ste", "pbnet", "bop", "bop2nd", "pbop", "real"], quick].tolist() == [
        "3.00",
        "2.43 (better, on this test set)",
        "6.00 (worse)",
        "3.02",
        "failed",
        "1.00",
    ]
    assert table.loc[["ste", "bop", "real", "pbnet"], wide].tolist() == ["4.00", "3.00", "1.00", ""]
    bop = next(row.score for row in rows if row.method == "bop")
    assert table.loc["bop", every] == f"{bop.value:.2f} ({bop.low:.2f} to {bop.high:.2f})"
    assert table.loc[["real", "pbop"], every].tolist() == ["", ""]


def test_details_beside_the_error(material):
    table = tables(material)["suite_quick_details"].set_index("method")
    assert table.loc["ste"].to_dict() == {
        "validation error, first trial": "",  # it failed in one replicate
        "best of the search": "3.17",
        "trials within 1 point of it": "83%",  # all of two searches, and one of two trials
        "failed trials": "1",
        "flips blocked": "",
        "accuracy / real's": f"{97 / 99:.3f}",
        "test error, noise, %": "5.0 (4.9 to 5.1)",
        "test error, blur, %": "4.0 (3.9 to 4.1)",
        "seconds a run": "22",  # of 21 and 22, three times
        "training memory, KiB": "12",
        "packed, KiB": "",
    }
    assert table.loc["bop", ["validation error, first trial", "best of the search"]].tolist() == ["7.00", "7.00"]
    assert table.loc["bop", "flips blocked"] == "87.5%"
    assert table.loc["real", ["best of the search", "trials within 1 point of it"]].tolist() == ["", ""]


def test_memory_of_a_process_is_no_methods(tmp_path):
    """Records of schema 1 have the largest memory that their process held in all its runs."""
    folders = make_folders(tmp_path)
    make_suite(folders, "quick")
    make_runs(folders, "quick", {"ste": ERRORS["ste"]})
    assert tables(gather(folders.results, folders.configs))["costs"]["peak memory, MiB"].tolist() == ["1024"]
    for path in folders.runs():
        path.write_text(path.read_text().replace('"schema": 2', '"schema": 1'))
    assert tables(gather(folders.results, folders.configs))["costs"]["peak memory, MiB"].tolist() == [""]


def test_all_suites_are_listed_and_incomplete_ones_have_no_table(material):
    found = tables(material)
    states = found["suites"].set_index("suite")["state"].str.partition(";")[0].to_dict()
    assert states == {"quick": "complete (7 failed)", "wide": "complete", "unfinished": "not complete: 4 of 6 runs"}
    assert not any("unfinished" in name for name in found)
    assert "width 256" not in "".join(found["overall"].columns) + "".join(found["relative"].columns)


def test_over_settings_a_missing_one_is_missing(material):
    table = tables(material)["overall"].set_index("method")
    assert table["settings"].to_dict() == {"ste": "2 of 2", "bop": "2 of 2", "pbnet": "1 of 2", "bop2nd": "1 of 2"}
    assert list(table.index)[2:] == ["pbnet", "bop2nd"]
    # of 2, 3, 4 with 3, 4, 5; and of the first setting, where bop never is better
    wins = (sum(x < y for x in (2, 3, 4) for y in (3, 4, 5)) + 0.5 * 2) / 9
    assert table.loc["bop", "probability to be better than ste"] == f"{(0 + wins) / 2:.2f}"
    assert table.loc["ste", "probability to be better than ste"] == ""
    assert table.loc["bop", "accuracy / real's"] == f"{(94 / 99 + 97 / 99) / 2:.3f}"
    assert relative_accuracy(material.complete, "pbop") != relative_accuracy(material.complete, "pbop")  # NaN


def test_errors_relative_to_the_control_by_setting(material):
    table = tables(material)["relative"].set_index("method")
    assert list(table.columns) == ["MNIST, mlp 64×2, 5 epochs", "MNIST, mlp 128×2, 5 epochs"]
    assert table.loc["bop"].tolist() == ["2.00", "0.75"]
    assert table.loc["binaryconnect"].tolist() == ["0.69", ""]


def test_scores_are_of_competitors(material):
    found = scores(material.complete)
    assert list(found) == ["ste", "bop", "bop2nd", "pbnet"]
    assert {name: list(own) for name, own in found.items()}["pbnet"] == ["quick"]
    assert overall({}) == []


def test_a_users_own_suites_have_no_part_in_the_scores_but_where_there_are_no_others(material):
    quick, wide = (replace(found, suite=replace(found.suite, own=True)) for found in material.complete)
    assert {name: list(own) for name, own in scores([quick, material.complete[1]]).items()}["bop"] == ["wide"]
    assert {name: list(own) for name, own in scores([quick, wide]).items()}["bop"] == ["quick", "wide"]
