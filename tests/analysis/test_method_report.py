"""The report of a method: its figures against the records, its commands, and what it refuses."""

import math

import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.cells import cells_of
from analysis.material import Material, gather
from analysis.method_report import _outside, report
from analysis.weak_spots import ranges, seeds, stability, tuning
from configs.registry import METHODS
from configs.settings import UserError
from tests.analysis.made_up import run
from tests.analysis.made_up_suites import make_folders, make_record, make_runs, make_suite, write

STE = [[3.0, 3.2], [2.0, 2.4], [2.6, 2.6]]
BOP = [[4.0, 4.2], [3.0, 3.4], [3.6, None]]
TRIALS = {"ste": [[4.0, 3.0, 5.0, 2.0]] * 3, "bop": [[6.0, None, 5.0, 5.5], [9.0, 4.0, 4.5, 7.0]]}


@pytest.fixture
def folders(tmp_path):
    folders = make_folders(tmp_path)
    make_suite(folders, "quick")
    make_suite(folders, "slow", net={"width": 512})
    make_runs(folders, "quick", {"ste": STE, "bop": BOP}, trials=TRIALS)
    write(folders.root / "spaces/bop.yaml", "tuned:\n  lr: {log: [1e-1, 1.0]}\n  init: {categorical: [a, b]}\n")
    return folders


def report_in(folders, method="bop"):
    material = gather(folders.results, folders.configs)
    return report(material, method, folders.results / "trials", folders.root / "spaces")


def suite_in(folders, label="quick"):
    return next(f for f in gather(folders.results, folders.configs).suites if f.suite.label == label)


def test_tuning_is_told_by_its_trials(folders):
    found = tuning(folders.results / "trials", "quick", "bop", folders.root / "spaces")
    assert (found.trials, found.failed) == (8, 1)
    assert (found.first, found.median, found.best) == (7.5, (5.5 + 5.75) / 2, 4.5)
    assert found.near == pytest.approx((3 / 4 + 2 / 4) / 2)  # 6, 5, 5.5 are within 1 of 5; 4 and 4.5 within 1 of 4
    assert found.edges == ("lr=0.1 of [0.1, 1]",) * 2


def test_a_first_trial_that_failed_is_not_averaged_away(folders):
    make_runs(folders, "quick", {}, trials={"bop": [[None, 5.0], [9.0, 4.0]]})
    found = tuning(folders.results / "trials", "quick", "bop", folders.root / "spaces")
    assert math.isnan(found.first)
    assert found.best == 4.5
    assert "unknown in the first trial" in report_in(folders)


def test_without_a_search_there_is_no_tuning(folders):
    assert tuning(folders.results / "trials", "slow", "bop", folders.root / "spaces") is None


def test_a_table_that_is_none_is_named(folders):
    path = folders.results / "trials/quick/bop/r1.csv"
    path.write_text("nothing")
    with pytest.raises(UserError, match=r"r1\.csv is not a readable table of trials"):
        tuning(folders.results / "trials", "quick", "bop", folders.root / "spaces")


def test_ranges_are_read_with_their_scale(tmp_path):
    write(
        tmp_path / "a.yaml",
        "fixed: {b: 1}\ntuned:\n  x: {log: [1e-5, 1]}\n  y: {linear: [0, 8]}\n  z: {categorical: [1, 2]}",
    )
    assert ranges(tmp_path / "a.yaml") == {"x": (1e-5, 1, True), "y": (0, 8, False)}
    assert ranges(tmp_path / "none.yaml") == {}


def test_seeds_are_told_from_replicates(folders):
    found = seeds(suite_in(folders), "ste")
    assert found.within == pytest.approx(((0.02 + 0.08 + 0) / 3) ** 0.5)
    assert found.between == pytest.approx(0.45092, abs=1e-5)  # of 3.1, 2.2, 2.6


def test_stability_counts_failed_runs_and_the_last_epoch(folders):
    for path in folders.runs():
        path.write_text(path.read_text().replace('"binarization_gap"', '"last_error": 5.0, "binarization_gap"', 1))
    found = stability(suite_in(folders), "bop")
    assert (found.runs, found.failed) == (6, 1)
    assert found.rise == pytest.approx(5 - (4.0 + 4.2 + 3.0 + 3.4 + 3.6) / 5)


def test_the_report_tells_the_figures_of_a_complete_suite(folders):
    for path in folders.runs():
        path.write_text(path.read_text().replace('"binarization_gap"', '"last_error": 5.0, "binarization_gap"', 1))
    text = report_in(folders)
    assert text.startswith("bop: flips ±1 weights")
    assert "quick (MNIST, mlp 64×2, 5 epochs), complete; 2. of 2 competitors" in text
    assert "3 replicates, 1 run failed" in text
    assert "difference to ste +1.00 (" in text  # (4.1 + 3.2 + 3.6)/3 − (3.1 + 2.2 + 2.6)/3
    assert "last epoch's test error − that of the chosen epoch: +1.36 points (ste +2.37)" in text
    assert "1 of 6 runs failed" in text
    assert "best at an edge: lr=0.1 of [0.1, 1], lr=0.1 of [0.1, 1]" in text
    assert max(map(len, text.splitlines())) <= 120
    assert len(text.splitlines()) < 60


def test_it_says_what_to_run_next(folders):
    text = report_in(folders)
    assert "1 of 6 runs are missing\n  python -m sweeps.suite suite=quick 'methods=[bop,ste]'\n" in text
    assert "6 of 6 runs are missing\n  python -m sweeps.suite suite=slow 'methods=[bop,ste]'" in text
    assert "python -m sweeps method=bop dataset=mnist net=mlp net.width=64 epochs=5 trials=30" in text
    assert "suite=quick 'methods=[ste]'" not in report_in(folders, "ste")


def test_an_incomplete_suite_tests_nothing(folders):
    folders.runs()[0].unlink()
    text = report_in(folders)
    assert "so nothing is tested" in text
    assert "difference to" not in text


def test_runs_outside_suites_are_described(folders):
    names = {"method": "pbop", "dataset": "mnist", "net": "mlp"}
    make_record(folders, names, {"epochs": 9, "split_seed": 0, "limit_train": 0, "net": {"width": 8}}, 1, 5.0)
    text = report_in(folders, "pbop")
    assert "outside suites, where nothing is tested\n    MNIST, mlp 8×2, 9 epochs: 5.00 of 1 seed\n" in text
    assert "no suite has runs or trials of it" in text
    assert "sweeps/spaces/pbop.yaml is not there" in text


def test_a_method_without_records_is_told_what_to_run(folders, capsys):
    arguments = ["--results", str(folders.results), "--tuned", str(folders.tuned), "method=pbnet"]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    command = "python -m sweeps.suite suite=digits 'methods=[pbnet,ste]'"
    assert err == f"error: there is no record of pbnet; {command} makes the first\n"


@pytest.mark.parametrize(
    ("word", "parts"),
    [("method=bopp", ["unknown method 'bopp'", *METHODS]), ("bop", ["'bop' is not understood", "method=NAME"])],
)
def test_a_mistyped_word_is_refused_in_one_line(word, parts, capsys):
    assert main([word]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(part in err for part in parts)


def test_cells_of_other_epochs_are_told_beside_the_control_of_the_same_epochs():
    suite = [run(name, 1001, 3.0, replicate=1, setting="suite") for name in ("ste", "bop")]
    long = [
        run(name, 0, error, epochs=40, setting="long", replicate=None) for name, error in (("ste", 1.0), ("bop", 2.0))
    ]
    runs = pd.DataFrame([*suite, *long])
    material = Material(runs, cells_of(runs), pd.DataFrame(), [], {}, {})
    assert list(_outside(material, "bop")) == ["    MNIST, mlp 64×2, 40 epochs: 2.00 of 1 seed; ste 1.00"]
