"""The answer of a suite as text: its words against the tests' own, and what it refuses."""

import pytest

from analysis.__main__ import main
from analysis.control import differences
from analysis.material import gather
from analysis.suite_report import report
from configs.settings import UserError
from tests.analysis.made_up_suites import make_folders, make_runs, make_suite

ERRORS = {
    "ste": [[3.0, 3.2], [3.2, 3.4], [3.0, 3.0]],
    "bop": [[9.0, 9.2], [9.1, 9.1], [9.0, 9.4]],
    "pbop": [[3.0, 3.4], [3.2, 3.4], [2.9, 3.3]],
    "bnnplus": [[1.0, 1.2], [1.1, 1.1], [1.0, 1.4]],
    "real": [[0.9, 0.9], [1.0, 1.0], [0.8, 0.8]],
}


@pytest.fixture
def folders(tmp_path):
    folders = make_folders(tmp_path)
    make_suite(folders, "quick")
    return folders


def answer(folders, **changes):
    make_runs(folders, "quick", ERRORS | changes)
    return report(gather(folders.results, folders.configs), "quick").splitlines()


def test_the_answer_of_a_suite(folders):
    lines = answer(folders)
    means = {name: [sum(runs) / 2 for runs in ERRORS[name]] for name in ERRORS}
    tested = differences({name: means[name] for name in ("bop", "pbop", "bnnplus")}, means["ste"])
    gap = tested["pbop"]
    low, high = gap.difference - gap.half_width, gap.difference + gap.half_width
    assert lines[0].startswith("quick (MNIST, mlp 64×2, 5 epochs): complete; without ")
    table = {line.split()[0]: line for line in lines[3:8]}
    assert list(table) == ["bnnplus", "ste", "pbop", "bop", "real"]  # by error; what does not compete is last
    assert f"  +0.07 ({low:+.2f} to {high:+.2f})  not distinguishable" in table["pbop"]
    assert low < 0 < high
    assert table["real"].split()[-1] == "reference"
    assert lines[9:] == [
        "Better than ste: bnnplus.",
        "Worse than ste: bop.",
        "Not distinguishable from ste: pbop.",
        f"Of them, differences above {max(-low, high):.2f} points are ruled out.",
    ]


def test_where_nothing_is_better_the_simplest_is_named(folders):
    lines = answer(folders, bnnplus=ERRORS["bop"])
    assert lines[9:11] == ["Better than ste: no method.", "Worse than ste: bnnplus, bop."]
    assert lines[-1] == "So take ste, the simplest."


def test_two_that_are_better_are_not_ranked(folders):
    lines = answer(folders, pbop=ERRORS["bnnplus"])
    assert lines[9] == "Better than ste: bnnplus, pbop."
    assert lines[-1] == "Which of the better ones is best, the suite cannot tell."


def test_a_method_all_of_whose_runs_failed_is_told(folders):
    lines = answer(folders, bop=[[None, None]] * 3)
    assert "  bop      all runs failed" in "\n".join(lines)
    assert "Worse than ste: no method." in lines
    assert not any("Not tested" in line for line in lines)


def test_one_replicate_is_not_tested(folders):
    lines = answer(folders, bop=[[9.0, 9.2], [None, None], [None, None]])
    assert lines[-1] == "Not tested, for want of replicates that ended or varied: bop."


def test_a_control_all_of_whose_runs_failed_is_not_recommended(folders):
    lines = answer(folders, ste=[[None, None]] * 3)
    assert lines[9:] == [
        "Better than ste: no method.",
        "Worse than ste: no method.",
        "Not tested, for want of replicates that ended or varied: bnnplus, pbop, bop.",
    ]


def test_a_suite_that_is_not_complete_tells_no_error(folders):
    make_runs(folders, "quick", ERRORS)
    folders.runs()[0].unlink()
    text = report(gather(folders.results, folders.configs), "quick")
    assert text.count("\n") == 0
    assert "not complete: 29 of 30 runs" in text
    assert text.endswith("it tells nothing before all its runs have ended")


def test_an_unknown_suite_is_refused_with_the_valid_names(folders, capsys):
    with pytest.raises(UserError, match="unknown suite 'quik'; did you mean quick"):
        report(gather(folders.results, folders.configs), "quik")
    assert main(["suite=quik"]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), "digits" in err) == (1, True)
