"""Which records become rows, and which rows belong to an experiment."""

import json
import math

import pandas as pd
import pytest
from omegaconf import OmegaConf

from analysis.select import epochs_of, load_runs, of_experiment, settings_of, where
from configs.schema import identity
from results.record import load
from training.train import train


def test_rows_of_real_records(configure, tmp_path):
    configs = [configure(f"method={name}", f"seed={seed}") for name, seed in (("ste", 0), ("ste", 1), ("bop", 0))]
    for config in configs:
        train(config)
    runs = load_runs(tmp_path / "runs")
    assert sorted(zip(runs["method.name"], runs["seed"], strict=True)) == [("bop", 0), ("ste", 0), ("ste", 1)]
    record = load(configs[2].record_path)
    (row,) = where(runs, **{"method.name": "bop"}).to_dict("records")
    assert row["run_id"] == record.run_id
    assert row["test.error"] == record.test["error"]
    assert row["validation.binarization_gap"] == record.validation["binarization_gap"]
    assert row["method.threshold"] == record.config["method"]["threshold"]
    assert math.isnan(where(runs, **{"method.name": "ste"})["method.threshold"].iloc[0])  # it has none
    curves = epochs_of(runs, "method.name")
    assert len(curves) == 3 * 2
    assert curves[curves["run_id"] == record.run_id]["val_error"].tolist() == record.curves["val_error"]


def test_a_run_without_a_test_and_a_failed_one(configure, tmp_path):
    train(configure("test=false"))
    (path,) = (tmp_path / "runs" / "ste").glob("*.json")
    content = json.loads(path.read_text())
    other = path.with_name("other.failed.json")
    other.write_text(json.dumps(content | {"status": "failed"}))
    path.with_suffix(".failed.json").write_text(other.read_text())  # the same run has succeeded since
    runs = load_runs(tmp_path / "runs")
    assert runs["failed"].tolist() == [1]
    assert "test.error" not in runs
    assert where(runs, **{"test.error": 1.0}).empty
    path.unlink()
    (row,) = load_runs(tmp_path / "runs").to_dict("records")  # both failed, and the setting has no other run
    assert row["failed"] == 2


def test_no_records_at_all(tmp_path):
    runs = load_runs(tmp_path)
    assert runs.empty
    assert of_experiment(runs, "study_robustness").empty
    assert epochs_of(runs).empty


@pytest.fixture
def experiments(tmp_path):
    def write(name, content):
        OmegaConf.save(OmegaConf.create(content), tmp_path / f"{name}.yaml")

    write(
        "base",
        {"defaults": [{"override /dataset": "mnist"}, {"override /net": "mlp"}], "epochs": 5, "net": {"width": 64}},
    )
    write(
        "derived",
        {
            "defaults": ["base", {"override /method": "bop"}],
            "net": {"width": 32},
            "method": {"gamma": 1e-3},
            "hydra": {
                "mode": "MULTIRUN",
                "sweeper": {"params": {"method": "bop,bop2nd", "method.threshold": "1e-8,1e-7", "seed": "0,1"}},
            },
        },
    )
    return tmp_path


def test_settings_are_those_of_the_file_and_of_what_it_builds_on(experiments):
    assert settings_of("derived", experiments) == {
        "dataset.name": ["mnist"],
        "net.name": ["mlp"],
        "epochs": [5],
        "net.width": [32],
        "method.gamma": [1e-3],
        "method.name": ["bop", "bop2nd"],
        "method.threshold": [1e-8, 1e-7],
        "seed": [0, 1],
    }


def test_runs_of_an_experiment_match_in_every_setting(experiments):
    right = {
        "dataset.name": "mnist",
        "net.name": "mlp",
        "epochs": 5,
        "net.width": 32,
        "method.gamma": 1e-3,
        "method.name": "bop2nd",
        "method.threshold": 1e-7,
        "seed": 1,
        "limit_train": 0,
    }
    others = [
        right | change
        for change in (
            {"epochs": 6},
            {"net.width": 64},
            {"method.name": "ste"},
            {"method.threshold": 1e-6},
            {"seed": 2},
            {"limit_train": 1000},
        )
    ]
    assert of_experiment(pd.DataFrame([*others, right]), "derived", experiments).to_dict("records") == [right]


def test_the_committed_studies_name_settings_that_runs_have(configure):
    known = load_keys(configure)
    for name in ("mnist_mlp", "bop_mnist", "bop2nd_mnist", "study_robustness", "study_correction", "study_scaler"):
        assert set(settings_of(name)) <= known, name


def load_keys(configure):
    from analysis.select import flat

    return {
        key for method in ("bop", "bop2nd", "pbop") for key in flat(identity(configure(f"method={method}", "net=mlp")))
    }
