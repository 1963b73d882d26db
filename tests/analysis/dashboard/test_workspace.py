"""The workspace without an account: none of its panels stays blank, and the dry run lists them all."""

import json

import pytest
from wandb_workspaces.reports.v2 import LinePlot
from wandb_workspaces.workspaces import Workspace
from wandb_workspaces.workspaces.internal import View

from analysis.dashboard.__main__ import main
from analysis.dashboard.upload import record_metrics, select_records
from analysis.dashboard.workspace import panel_metrics, sections, workspace
from analysis.selection import RESULTS
from training.train import train

pytestmark = pytest.mark.usefixtures("without_a_key")


def panels_of(view) -> list:
    return [panel for section in view.sections for panel in section.panels]


def test_every_panel_shows_what_an_upload_sends():
    sent = set().union(*map(record_metrics, select_records(RESULTS / "runs")))
    shown = {metric for panel in panels_of(workspace("me", "p")) for metric in panel_metrics(panel)}
    assert shown <= sent
    assert {"val_error", "train_loss", "flip_rate", "epoch", "elapsed", "seconds", "cost.images_per_second"} <= shown
    assert {"test.error", "test.binarization_gap"} <= shown


@pytest.mark.parametrize("method", ["real", "ste", "bop2nd", "bernoulli"])
def test_the_panels_of_a_method_are_those_of_all(method, configure):
    """A run as it is logged live: no panel lacks it, whether its weights are latent, bare bits or probabilities."""
    record = train(configure(f"method={method}", "epochs=1", "limit_train=200", "batch_size=100"))
    shown = {metric for panel in panels_of(workspace("me", "p")) for metric in panel_metrics(panel)}
    missing = shown - record_metrics(record)
    assert {metric for metric in missing if not metric.startswith("packed.")} == set()
    assert bool(missing) == (method == "real")  # its net has no bits to pack


def test_lines_have_bands_and_bars_the_mean_of_a_group():
    view = workspace("me", "p", "mnist", "stddev")
    assert {panel.groupby_aggfunc for panel in panels_of(view)} == {"mean"}
    assert {panel.groupby_rangefunc for panel in panels_of(view)} == {"stddev"}
    (runs,) = view._spec["spec"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == [
        "dataset.value.name",
        "net.value.name",
        "net.value.width",
        "net.value.depth",
        "epochs.value",
        "method.value.name",
    ]
    conditions = [(c["key"]["name"], c["op"], c["value"]) for c in runs["filters"]["filters"]]
    assert conditions == [
        ("limit_train.value", "IN", [0]),
        ("test.error", ">=", 0),
        ("dataset.value.name", "IN", ["mnist"]),
    ]
    assert json.loads(json.dumps(view._spec)) == view._spec


def test_what_is_sent_is_read_back_by_wandb():
    view = workspace("me", "p", "mnist")
    back = Workspace._from_model(View.model_validate(json.loads(json.dumps(view._spec))))
    assert [section.name for section in back.sections] == [section.name for section in view.sections]
    for read, sent in zip(panels_of(back), panels_of(view), strict=True):
        own = [read.x, *read.y] if isinstance(read, LinePlot) else read.metrics
        assert [metric.name for metric in own] == panel_metrics(sent)
    assert [panel.title for panel in panels_of(back)] == [panel.title for panel in panels_of(view)]
    groups = [key.name for key in back.runset_settings.groupby]
    assert groups == [key.name for key in view.runset_settings.groupby]


def test_the_dry_run_of_the_workspace_lists_sections_and_metrics(capsys):
    assert main(["workspace", "--dry-run"]) == 0
    out = capsys.readouterr().out
    for section in sections("minmax"):
        assert f"\n{section.name}\n" in out
        for panel in section.panels:
            assert panel.title in out
            assert all(metric in out for metric in panel_metrics(panel))


def test_a_workspace_needs_an_entity(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert main(["workspace"]) == 2
    assert capsys.readouterr().err.startswith("error: --entity is missing")


def test_a_workspace_is_not_saved_offline(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert main(["workspace", "--entity", "me"]) == 2
    assert "--dry-run" in capsys.readouterr().err
