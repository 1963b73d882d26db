"""Records → rows of the page, on folders of suites that never ran."""

import math
import shlex

import pandas as pd
import pytest

from analysis.control import differences
from analysis.material import gather
from analysis.page.from_records import common, content_of, published_of
from analysis.page.render import page
from analysis.statistics import summarize
from configs.registry import METHODS
from results.record import load
from tests.analysis.made_up_suites import make_folders, make_record, make_runs, make_suite

STE = [[3.0, 3.2], [2.0, 2.4], [2.6, 2.6]]
BOP = [[4.0, 4.2], [3.0, 3.4], [3.6, 3.6]]
REAL = [[1.0, 1.2], [0.9, 1.1], [1.0, None]]
TRIALS = {"ste": [[4.0, 3.0, 5.0, 2.0]] * 3, "bop": [[6.0, None, 5.0, 5.5]] * 3}


@pytest.fixture
def folders(tmp_path):
    folders = make_folders(tmp_path)
    make_suite(folders, "quick")
    make_runs(folders, "quick", {"ste": STE, "bop": BOP, "real": REAL}, trials=TRIALS)
    return folders


def content_in(folders):
    return content_of(gather(folders.results, folders.configs))


def cells_in(folders, place=0):
    return {cell.key: cell for cell in content_in(folders).settings[place].cells}


def test_a_complete_suite_is_a_setting_with_its_verdict(folders):
    (setting,) = content_in(folders).settings
    assert (setting.title, setting.suite, setting.complete) == ("MNIST, mlp 64×2, 5 epochs", "quick", True)
    assert [cell.key for cell in setting.cells] == ["ste", "bop", "real"]
    cells = {cell.key: cell for cell in setting.cells}
    own, control = ([sum(runs) / 2 for runs in errors] for errors in (BOP, STE))
    expected = differences({"bop": pd.Series(own).to_numpy()}, pd.Series(control).to_numpy())["bop"]
    gap = cells["bop"].difference
    assert gap.value == pytest.approx(1.0)
    assert (gap.low, gap.high) == pytest.approx((1 - expected.half_width, 1 + expected.half_width))
    assert cells["bop"].word == expected.verdict("ste")
    assert cells["bop"].error.high - cells["bop"].error.value == pytest.approx(summarize(own).half_width)
    assert (cells["ste"].difference, cells["real"].difference, cells["real"].word) == (None, None, "")


def test_counts_are_of_replicates_and_failed_runs(folders):
    cells = cells_in(folders)
    assert [(cells[k].count, cells[k].unit, cells[k].failed) for k in ("ste", "real")] == [
        (3, "replicates", 0),
        (3, "replicates", 1),
    ]
    assert [len(cells[k].runs) for k in ("ste", "real")] == [6, 5]
    assert [(run.replicate, run.seed) for run in cells["ste"].runs][:3] == [(1, 1001), (1, 1002), (2, 2001)]


def test_what_searches_found_is_drawn_from_their_trials(folders):
    cells = cells_in(folders)
    assert cells["ste"].search_curve.middle == [4, 3, 3, 2]
    assert cells["bop"].search_curve.middle == [6, 6, 5, 5]
    assert cells["real"].search_curve is None


def test_competitors_are_counted_over_all_settings(folders):
    rows = {row.key: row for row in content_in(folders).overall}
    assert set(rows) == {"ste", "bop"}
    assert rows["ste"].better is None
    assert rows["bop"].better.value < 0.1
    assert rows["bop"].profile[-1][1] == 1
    shares = [share for _, share in rows["bop"].profile]
    assert shares == sorted(shares)


def test_runs_of_an_incomplete_suite_are_not_on_the_page(folders):
    folders.runs()[0].unlink()
    content = content_in(folders)
    assert content.settings == []
    ((label, progress),) = content.unfinished
    assert label == "quick"
    assert progress.startswith("not complete: 17 of 18 runs")
    assert "There is no verdict yet" in page(content)


def test_runs_outside_suites_are_described_by_their_seeds(folders):
    names = {"method": "bop", "dataset": "mnist", "net": "mlp"}
    for seed, error in ((1, 5.0), (2, 7.0)):
        make_record(folders, names, {"epochs": 9, "split_seed": 0, "limit_train": 0, "net": {"width": 8}}, seed, error)
    content = content_in(folders)
    assert [setting.complete for setting in content.settings] == [True, False]
    (cell,) = content.settings[1].cells
    assert (cell.count, cell.unit, cell.error.value, cell.difference) == (2, "seeds", 6, None)
    assert [run.replicate for run in cell.runs] == [None, None]


def test_a_method_all_of_whose_runs_failed_has_a_cell(folders):
    make_runs(folders, "quick", {"pbop": [[None, None]] * 3})
    cell = cells_in(folders)["pbop"]
    assert math.isnan(cell.error.value)
    assert (cell.count, cell.failed, len(cell.runs)) == (0, 6, 0)
    assert "all failed" in page(content_in(folders))


def test_the_command_is_the_record_s_in_a_folder_of_its_own(folders):
    path = next(path for path in folders.runs() if "ste" in str(path) and "s1001" in path.name)
    path.write_text(path.read_text().replace('"command": "python run.py"', '"command": "python run.py \'a=[1, 2]\'"'))
    assert load(path).command == "python run.py 'a=[1, 2]'"
    run = cells_in(folders)["ste"].runs[0]
    assert shlex.split(run.command) == ["python", "run.py", "a=[1, 2]", "results_dir=outputs/again"]


@pytest.mark.parametrize(("threads", "load_average", "beside"), [(1, 4.2, True), (2, 1.9, False), (2, 3.1, True)])
def test_speed_beside_other_work_is_marked(folders, threads, load_average, beside):
    for path in folders.runs():
        text = path.read_text().replace('"environment": {}', f'"environment": {{"threads": {threads}}}')
        path.write_text(text.replace('"images_per_second"', f'"load": {load_average}, "images_per_second"'))
    assert cells_in(folders)["ste"].beside_others == beside


def test_a_cell_has_what_its_runs_share_of_the_method_and_the_setting_the_rest(folders):
    (setting,) = content_in(folders).settings
    assert setting.cells[0].config == {"method.lr_schedule": "cosine"}  # lr is searched anew in each replicate
    assert setting.config["net.width"] == 64
    assert "split_seed" not in setting.config
    assert not any(name.startswith("method.") for name in setting.config)


def test_common_settings_are_equal_in_all_and_say_something():
    configs = [{"a": 1, "b": 2, "c": None, "d": ()}, {"a": 1, "b": 3, "c": None, "d": ()}]
    assert common(configs) == {"a": 1}
    assert common([]) == {}


def test_published_accuracies_become_errors():
    columns = [
        "table",
        "method",
        "dataset",
        "metric",
        "value",
        "spread",
        "binary_activations",
        "net",
        "epochs",
        "source",
    ]
    rows = [
        ["t", "A", "MNIST", "test accuracy %", 98.6, math.nan, "yes", "MLP", 500, "S"],
        ["t", "B", "MNIST", "test error %", 1.5, 0.1, "no", math.nan, math.nan, "S"],
        ["t", "C", "MNIST", "seconds", 3.0, math.nan, "no", math.nan, math.nan, "S"],
    ]
    first, second = published_of(pd.DataFrame(rows, columns=columns))
    assert (first.error, first.epochs, first.net) == (pytest.approx(1.4), "500", "MLP")
    assert (second.error, second.spread, second.epochs, second.net) == (1.5, 0.1, "", "")


def test_every_method_has_a_line(folders):
    lines = content_in(folders).methods
    assert list(lines) == list(METHODS)
    assert all(len(line) > 20 for line in lines.values())
