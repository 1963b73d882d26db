"""Uploads without an account: what would be sent, and what is sent."""

import json
import os
import shutil
from pathlib import Path

import pytest

from analysis.dashboard.__main__ import main
from analysis.dashboard.upload import record_metrics, select_records
from analysis.experiments import flat
from analysis.selection import RESULTS
from results.record import load, record_files
from tests.offline import flatten, read_back

STE = min((RESULTS / "runs" / "ste").glob("mnist-mlp-s1-*.json"))

pytestmark = pytest.mark.usefixtures("without_a_key")


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Committed records of three methods, seeds below 10."""
    folder = tmp_path_factory.mktemp("some") / "results"
    for method in ("ste", "bop", "pbop"):
        (folder / "runs" / method).mkdir(parents=True)
        for path in (RESULTS / "runs" / method).glob("*-s[0-9]-*.json"):
            (folder / "runs" / method / path.name).symlink_to(path)
    return folder


def test_the_dry_run_of_an_upload_names_every_record(results, capsys):
    assert main(["upload", "--dry-run", "--results", str(results)]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    files = record_files(results / "runs")
    assert [line.split()[0] for line in lines] == [path.stem for path in files]
    assert last == f"{len(files)} records would be sent to <your default entity>/binarized-benchmark"
    assert len({path.stem for path in files}) == len(files)  # the ids of W&B's runs
    (line,) = [line for line in lines if line.startswith(STE.stem)]
    content = json.loads(STE.read_text())
    assert f"name ste/{STE.stem}  group ste  {len(content['curves']['epoch'])} points" in line
    assert f"validation.error {content['validation']['error']:g}, test.error {content['test']['error']:g}" in line


def test_filters(results):
    runs = results / "runs"
    records = select_records(runs)
    ste = select_records(runs, methods=["ste"])
    assert {r.config["method"]["name"] for r in ste} == {"ste"}
    assert len(ste) == sum(r.config["method"]["name"] == "ste" for r in records)
    two = select_records(runs, methods=["ste", "bop"], datasets=["cifar10"])
    assert {(r.config["method"]["name"], r.config["dataset"]["name"]) for r in two} == {
        ("bop", "cifar10"),
        ("ste", "cifar10"),
    }
    study = select_records(runs, experiment="study_scaler")
    assert {r.config["method"]["name"] for r in study} == {"pbop"}
    assert [r.run_id for r in select_records(runs, files=f"ste/{STE.stem}*")] == [STE.stem]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--method", "bob"], ["bob", "pbop", "ste"]),
        (["--dataset", "imagenet"], ["imagenet", "cifar10", "mnist"]),
        (["--experiment", "mnist_mpl"], ["mnist_mpl", "did you mean mnist_mlp?"]),
        (["--files", "nothing*"], ["no record", "bop on mnist"]),
        (["--results", "/nowhere"], ["/nowhere/runs"]),
    ],
)
def test_bad_input_is_one_line_that_names_what_is_valid(arguments, named, results, capsys):
    assert main(["upload", "--dry-run", "--results", str(results), *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(word in err for word in named)


@pytest.mark.parametrize("arguments", [["workspace", "--entity", "me"], ["upload", "--method", "ste"]])
def test_without_a_key(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: W&B: no API key found")


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "file").write_text("")
    assert main(["upload", "--files", f"ste/{STE.stem}*", "--folder", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'file'}: File exists\n"


@pytest.mark.slow
def test_an_offline_upload_holds_the_records_numbers_and_keeps_its_id(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "results/runs/ste").mkdir(parents=True)
    shutil.copy(STE, tmp_path / "results/runs/ste")
    record = load(STE)
    for name in ("first", "second"):
        assert main(["upload", "--results", str(tmp_path / "results"), "--folder", str(tmp_path / name)]) == 0
        (path,) = (tmp_path / name).rglob("*.wandb")
        assert path.stem == f"run-{record.run_id}"
        config, rows, summary, exit_code = read_back(path)
        rows = [row for row in rows if "epoch" in row]
        assert len(rows) == len(record.curves["epoch"])
        for column, values in record.curves.items():
            assert [row[column] for row in rows] == pytest.approx(values), column
        assert {key: value for key, value in config.items() if key != "_wandb"} == record.config
        flattened = flatten(summary)
        for part in ("validation", "test", "cost"):
            for key, value in flat(getattr(record, part), f"{part}.").items():
                assert flattened[key] == pytest.approx(value), key
        assert record_metrics(record) <= set(flattened)
        assert exit_code == 0
    assert os.environ["WANDB_MODE"] == "offline"
