"""Dashboards without an account: what would be sent, what is sent, and that no panel stays blank."""

import json
import os
import shutil
from pathlib import Path

import pytest

from analysis.dashboard import main, upload, workspace
from analysis.select import flat
from results.record import Record, load
from tests.offline import flatten, read_back
from training.train import train

RESULTS = Path(__file__).parents[2] / "results"
STE = RESULTS / "runs/ste/mnist-mlp-s1-a4fd9182a1.json"

pytestmark = pytest.mark.usefixtures("without_a_key")


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return upload.chosen(RESULTS / "runs")


def panels_of(view) -> list:
    return [panel for section in view.sections for panel in section.panels]


def test_every_panel_shows_what_an_upload_sends(records):
    sent = set().union(*map(upload.metrics_of, records))
    shown = {metric for panel in panels_of(workspace.workspace("me", "p")) for metric in workspace.metrics_of(panel)}
    assert shown <= sent
    assert {"val_error", "train_loss", "flip_rate", "epoch", "elapsed", "seconds", "cost.images_per_second"} <= shown
    assert {"test.error", "test.binarization_gap"} <= shown


@pytest.mark.parametrize("method", ["real", "ste", "bop2nd", "bernoulli"])
def test_the_panels_of_a_method_are_those_of_all(method, configure):
    """A run as it is logged live: no panel lacks it, whether its weights are latent, bare bits or probabilities."""
    record = train(configure(f"method={method}", "epochs=1", "limit_train=200", "batch_size=100"))
    shown = {metric for panel in panels_of(workspace.workspace("me", "p")) for metric in workspace.metrics_of(panel)}
    assert shown - upload.metrics_of(record) == set()


def test_lines_have_bands_and_bars_the_mean_of_a_group():
    view = workspace.workspace("me", "p", "mnist", "stddev")
    assert {panel.groupby_aggfunc for panel in panels_of(view)} == {"mean"}
    assert {panel.groupby_rangefunc for panel in panels_of(view)} == {"stddev"}
    (runs,) = view._spec["spec"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["dataset.value.name", "method.value.name"]
    conditions = [(c["key"]["name"], c["op"], c["value"]) for c in runs["filters"]["filters"]]
    assert conditions == [("limit_train.value", "IN", [0]), ("dataset.value.name", "IN", ["mnist"])]
    assert json.loads(json.dumps(view._spec)) == view._spec


def test_the_dry_run_of_the_workspace_lists_sections_and_metrics(capsys):
    assert main(["workspace", "--dry-run"]) == 0
    out = capsys.readouterr().out
    for section in workspace.sections("minmax"):
        assert f"\n{section.name}\n" in out
        for panel in section.panels:
            assert panel.title in out
            assert all(metric in out for metric in workspace.metrics_of(panel))


def test_the_dry_run_of_an_upload_names_every_record(capsys):
    assert main(["upload", "--dry-run"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    files = [path for path in sorted(RESULTS.glob("runs/*/*.json")) if not path.name.endswith(".failed.json")]
    assert [line.split()[0] for line in lines] == [path.stem for path in files]
    assert last == f"{len(files)} records would be sent to <your default entity>/binarized-benchmark"
    assert len({path.stem for path in files}) == len(files)  # the ids of W&B's runs
    (line,) = [line for line in lines if line.startswith(STE.stem)]
    content = json.loads(STE.read_text())
    assert f"name ste/{STE.stem}  group ste  {len(content['curves']['epoch'])} points" in line
    assert f"validation.error {content['validation']['error']:g}, test.error {content['test']['error']:g}" in line


def test_filters(records):
    runs = RESULTS / "runs"
    ste = upload.chosen(runs, methods=["ste"])
    assert {r.config["method"]["name"] for r in ste} == {"ste"}
    assert len(ste) == sum(r.config["method"]["name"] == "ste" for r in records)
    two = upload.chosen(runs, methods=["ste", "bop"], datasets=["cifar10"])
    assert {(r.config["method"]["name"], r.config["dataset"]["name"]) for r in two} == {
        ("bop", "cifar10"),
        ("ste", "cifar10"),
    }
    study = upload.chosen(runs, experiment="study_scaler")
    assert {r.config["method"]["name"] for r in study} == {"pbop"}
    assert [r.run_id for r in upload.chosen(runs, files=f"ste/{STE.stem}*")] == [STE.stem]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--method", "bob"], ["bob", "binaryconnect", "bop2nd"]),
        (["--dataset", "imagenet"], ["imagenet", "cifar10", "mnist"]),
        (["--experiment", "mnist_mpl"], ["mnist_mpl", "did you mean mnist_mlp?"]),
        (["--files", "nothing*"], ["no record", "bop on mnist"]),
        (["--results", "/nowhere"], ["/nowhere/runs"]),
    ],
)
def test_bad_input_is_one_line_that_names_what_is_valid(arguments, named, capsys):
    assert main(["upload", "--dry-run", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(word in err for word in named)


@pytest.mark.parametrize("arguments", [["workspace", "--entity", "me"], ["upload", "--method", "ste"]])
def test_without_a_key(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: W&B: no API key found")


def test_a_workspace_is_not_saved_offline(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert main(["workspace", "--entity", "me"]) == 2
    assert "--dry-run" in capsys.readouterr().err


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
        assert upload.metrics_of(record) <= set(flattened)
        assert exit_code == 0
    assert os.environ["WANDB_MODE"] == "offline"
