"""Which records become rows, and which rows belong to an experiment."""

import json
import math
import shutil

import pandas as pd
import pytest

from analysis.experiments import experiment_settings
from analysis.selection import epochs_of, load_failed, load_runs, main_setting, of_experiment, where
from results.record import load


@pytest.fixture
def folder(committed, tmp_path):
    """Three committed records: two seeds of `ste`, one of `bop`."""
    for method, seed in (("ste", 1), ("ste", 2), ("bop", 1)):
        (tmp_path / method).mkdir(exist_ok=True)
        shutil.copy(min((committed / "results/runs" / method).glob(f"digits-mlp-s{seed}-*.json")), tmp_path / method)
    return tmp_path


def test_rows_are_what_the_records_say(folder):
    runs = load_runs(folder)
    assert runs[["method.name", "seed"]].to_numpy().tolist() == [["bop", 1], ["ste", 1], ["ste", 2]]
    (path,) = (folder / "bop").glob("*.json")
    content = json.loads(path.read_text())
    (row,) = where(runs, **{"method.name": "bop"}).to_dict("records")
    assert row["run_id"] == path.stem
    assert row["test.error"] == content["test"]["error"]
    assert row["validation.binarization_gap"] == content["validation"]["binarization_gap"]
    assert row["method.threshold"] == content["config"]["method"]["threshold"]
    assert row["cost.peak_memory"] == content["cost"]["peak_memory"]
    assert math.isnan(where(runs, **{"method.name": "ste"})["method.threshold"].iloc[0])  # it has none
    curves = epochs_of(runs, "method.name")
    assert len(curves) == sum(len(load(p).curves["epoch"]) for p in folder.glob("*/*.json"))
    mine = curves[curves["run_id"] == path.stem]
    assert (mine["val_error"].tolist(), set(mine["method.name"])) == (content["curves"]["val_error"], {"bop"})


def test_a_packed_net_is_in_the_row(folder):
    path = next((folder / "bop").glob("*.json"))
    packed = {"bytes": 23_552, "test": {"error": 5.0, "differ": 0}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"packed": packed}))
    runs = load_runs(folder)
    assert runs["packed.bytes"].tolist()[:1] == [23_552]
    assert runs["packed.test.error"].tolist()[:1] == [5.0]
    assert runs["packed.bytes"].isna().tolist() == [False, True, True]


def test_seeds_share_a_setting(folder):
    runs = load_runs(folder)
    assert runs["setting"].nunique() == 2
    assert main_setting(runs)["seed"].tolist() == [1, 2]
    assert set(main_setting(runs)["method.name"]) == {"ste"}


def test_a_setting_that_records_did_not_have_at_first_is_their_default(folder):
    before = load_runs(folder)["setting"].tolist()
    for path in (folder / "ste").glob("*.json"):
        record = json.loads(path.read_text())
        devices = record["config"]["seed"]  # 1, the default, and 2
        path.write_text(json.dumps(record | {"config": record["config"] | {"devices": devices}}))
    after = load_runs(folder)
    same = {seed: after["setting"][i] == before[i] for i, seed in enumerate(after["seed"]) if i > 0}
    assert same == {1: True, 2: False}


def test_the_replicates_of_a_suite_share_a_setting_whatever_their_search_chose(folder):
    for i, path in enumerate(sorted((folder / "ste").glob("*.json")), start=1):
        content = json.loads(path.read_text())
        content["config"] |= {"split_seed": i, "seed": 1000 * i + 1}
        content["config"]["method"] |= {"lr": 0.1 * i}
        path.write_text(json.dumps(content))
    runs = load_runs(folder)
    assert runs["replicate"].tolist()[1:] == [1, 2]
    assert math.isnan(runs["replicate"].iloc[0])  # of bop, which is no suite's
    assert runs["setting"].nunique() == 2
    assert runs["status"].unique().tolist() == ["done"]


def test_failed_runs_have_rows_of_their_own(folder):
    (path,) = (folder / "bop").glob("*.json")
    path.rename(path.with_suffix(".failed.json"))
    assert load_failed(folder)["run_id"].tolist() == [path.stem]


def test_a_run_without_a_test_and_a_failed_one(folder):
    first, second = sorted((folder / "ste").glob("*.json"))
    shutil.rmtree(folder / "bop")
    first.write_text(json.dumps(json.loads(first.read_text()) | {"test": None}))
    failed = json.dumps(json.loads(second.read_text()) | {"status": "failed", "test": None})
    second.unlink()
    second.with_suffix(".failed.json").write_text(failed)
    first.with_suffix(".failed.json").write_text(failed)  # this run has succeeded since
    runs = load_runs(folder)
    assert runs["failed"].tolist() == [1]
    assert "test.error" not in runs
    assert where(runs, **{"test.error": 1.0}).empty
    first.unlink()
    (row,) = load_runs(folder).to_dict("records")  # both failed, and the setting has no other run
    assert row["failed"] == 2


def test_no_records_at_all(tmp_path):
    runs = load_runs(tmp_path)
    assert runs.empty
    assert of_experiment(runs, "study_robustness").empty
    assert epochs_of(runs).empty
    assert main_setting(runs).empty


def test_where_takes_one_value_any_of_a_list_and_missing_ones():
    runs = pd.DataFrame({"crop": [24, math.nan, 28], "name": ["a", "b", None], "flag": [True, False, math.nan]})
    assert where(runs, crop=24).index.tolist() == [0]
    assert where(runs, crop=[28, None]).index.tolist() == [1, 2]
    assert where(runs, name=None).index.tolist() == [2]
    assert where(runs, flag=[True]).index.tolist() == [0]
    assert where(runs, crop=[24, 28], name="a").index.tolist() == [0]
    assert where(runs, unknown=1).empty


def test_runs_of_an_experiment_match_in_every_setting():
    settings = experiment_settings("study_scaler")
    right = {key: values[-1] for key, values in settings.items()}
    others = [right | {key: "another" if isinstance(value, str) else value + 1} for key, value in right.items()]
    assert of_experiment(pd.DataFrame([*others, right]), "study_scaler").to_dict("records") == [right]
    assert right["limit_train"] == 10000
    full = {key: value for key, value in right.items() if key != "limit_train"}
    part = pd.DataFrame([full | {"limit_train": 0}])
    assert of_experiment(part, "study_scaler").empty


def test_an_experiment_without_a_limit_is_of_all_training_examples():
    right = {key: values[0] for key, values in experiment_settings("mnist_mlp").items()}
    runs = pd.DataFrame([right | {"limit_train": limit} for limit in (1000, 0)])
    assert of_experiment(runs, "mnist_mlp")["limit_train"].tolist() == [0]
