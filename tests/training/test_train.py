"""train(run): the record that it leaves, and when it trains at all."""

import json
import math
import re
from contextlib import contextmanager

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from configs.settings import UserError
from methods.binary.layers import binary_layers
from results.record import load
from training.errors import TrainingError
from training.run import Run
from training.train import train


def test_the_curves_and_the_chosen_epoch(configure):
    rates = ("method.lr=0.3", "method.lr_end=0.2", "method.lr_schedule=linear")
    run = configure("epochs=6", "seed=1", *rates)
    train(run)
    record = load(run.record_path)
    curves, errors = record.curves, record.curves["val_error"]
    assert all(len(column) == 6 for column in curves.values())
    assert curves["epoch"] == [1, 2, 3, 4, 5, 6]
    assert errors[-1] > min(errors)  # the last epoch is not the best: else the next lines would show little
    assert record.best_epoch == 1 + errors.index(min(errors))
    assert record.validation["error"] == min(errors)
    assert record.validation["loss"] == pytest.approx(curves["val_loss"][record.best_epoch - 1], rel=1e-5)
    assert record.validation["last_error"] == errors[-1]
    assert curves["lr"] == pytest.approx([0.3 - 0.1 * epoch / 6 for epoch in range(6)], rel=1e-6)
    assert curves["elapsed"] == sorted(curves["elapsed"])
    assert record.cost["train_seconds"] == pytest.approx(sum(curves["seconds"]), rel=1e-4)
    assert record.cost["elapsed_seconds"] == curves["elapsed"][-1]


def test_of_equal_errors_the_earliest_epoch_is_chosen(configure):
    ties = 0
    for seed in range(5):  # few errors are left at the end: most of these runs have a tie for the lowest
        run = configure("method=real", "method.lr=0.01", "net=mlp", "net.width=64", "epochs=8", f"seed={seed}")
        train(run)
        record = load(run.record_path)
        errors = record.curves["val_error"]
        assert record.best_epoch == 1 + int(np.argmin(errors))
        ties += errors.count(min(errors)) > 1
        if ties:
            return
    assert ties


def test_without_a_test_there_is_no_test_figure(configure):
    run = configure("test=false")
    train(run)
    content = json.loads(run.record_path.read_text())
    assert content["test"] is None
    assert content["data"]["sizes"]["test"] is None
    assert not any("test" in column for column in content["curves"])
    assert set(content["validation"]) >= {"error", "last_error", "binarized_error", "binarization_gap"}


def test_limit_train_leaves_the_other_splits_whole(configure):
    run = configure("limit_train=230")
    train(run)
    assert load(run.record_path).data["sizes"] == {"train": 230, "validation": 287, "test": 359}


class Labels(pl.Callback):
    """Writes down the labels of every epoch in the order in which they are shown."""

    def __init__(self) -> None:
        self.epochs: list[list[int]] = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.epochs.append([])

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.epochs[-1] += batch[1].tolist()


def test_every_epoch_shows_the_same_examples_in_another_order(configure, assemble, tmp_path):
    def orders(*more):
        labels = Labels()
        training = assemble(configure("epochs=3", "limit_train=230", *more), labels)
        training.fit()
        return labels.epochs

    first = orders()
    assert [len(epoch) for epoch in first] == [230, 230, 230]
    assert len({tuple(epoch) for epoch in first}) == 3
    assert len({tuple(sorted(epoch)) for epoch in first}) == 1
    assert orders("method=real", f"output_dir={tmp_path}/other", "net.width=4") == first  # only the seed decides
    assert orders("seed=1", f"output_dir={tmp_path}/other")[0] != first[0]


def test_same_seed_same_figures_and_another_seed_others(configure, tmp_path):
    def figures(folder, *more):
        run = configure(f"results_dir={tmp_path}/{folder}", "method.activation=stochastic", *more)
        train(run)
        record = load(run.record_path)
        return {k: v for k, v in record.curves.items() if k not in ("seconds", "elapsed")}, record.test

    assert figures("first") == figures("second")
    assert figures("first")[0]["train_loss"] != figures("third", "seed=1")[0]["train_loss"]


def test_a_finished_run_is_not_trained_again(configure, capsys):
    run = configure()
    train(run)
    path = run.record_path
    content = json.loads(path.read_text())
    error = content["validation"]["error"]
    content["validation"]["error"] = 12.5  # a mark: so it is seen who wrote the record
    path.write_text(json.dumps(content))
    capsys.readouterr()

    assert train(run).validation["error"] == 12.5
    assert capsys.readouterr().out == f"skipped, the record exists (rerun=true trains again): {path}\n"
    train(configure("rerun=true"))
    assert load(path).validation["error"] == error
    assert load(path).curves["train_loss"] == content["curves"]["train_loss"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_run_that_another_process_ends_meanwhile_is_not_trained_again(configure, monkeypatch):
    run = configure()
    train(run)
    done = run.record_path.read_text()
    run.record_path.unlink()

    @contextmanager
    def held(self):
        self.record_path.write_text(done)  # by the process that held it until now
        yield

    monkeypatch.setattr(Run, "held", held)
    monkeypatch.setattr("training.train._train", lambda *_: pytest.fail("it is trained again"))
    assert train(run).created == json.loads(done)["created"]


def test_a_record_made_with_another_default_is_not_taken_for_this_run(configure):
    run = configure()
    train(run)
    path = run.record_path
    content = json.loads(path.read_text())
    content["config"]["method"]["clip"] = 0.5
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"method\.clip.*rerun=true"):
        train(run)


@pytest.mark.parametrize("text", ["", '{"run_id": "digits-', "[]", '{"schema": 1}', '{"schema": 99}'])
def test_a_record_that_cannot_be_read_is_named(configure, text):
    path = configure().record_path
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))} (is not a readable record|has schema 99)"):
        train(configure())
    assert path.read_text() == text


def test_a_run_that_diverges_leaves_a_failed_record(configure):
    run = configure("method=real", "loss=squared_hinge", "method.lr=1e30")
    with pytest.raises(TrainingError, match=r"the training loss became (inf|nan) in epoch 1"):
        train(run)
    assert not run.record_path.exists()
    record = load(run.failed_path)
    assert record.status == "failed"
    assert record.error.startswith("TrainingError: the training loss became ")
    assert record.config["method"]["lr"] == 1e30
    assert run.failed_path.name == f"{record.run_id}.failed.json"


@pytest.mark.parametrize("method", ["bop", "bop2nd", "pbop"])
def test_one_bad_gradient_fails_a_run_whose_loss_stays_finite(configure, assemble, method):
    training = assemble(configure(f"method={method}"))
    layer = next(iter(binary_layers(training.method.net).values()))
    bad = iter([math.inf])
    layer.weight.register_hook(lambda g: g.flatten().index_fill(0, torch.tensor([0]), next(bad, 0.0)).view_as(g))
    with pytest.raises(TrainingError, match="a gradient was NaN or infinite in epoch 1"):
        training.fit()
    assert not training.run.checkpoint.exists()


def test_a_bad_gradient_without_a_moving_average_fails_a_run_too(configure, assemble):
    training = assemble(configure("method=ste", "method.optimizer=sgd", "epochs=1"))
    layer = next(iter(binary_layers(training.method.net).values()))
    bad = iter([math.nan])  # a NaN weight has a sign, so the loss stays finite
    layer.weight.register_hook(lambda g: g.flatten().index_fill(0, torch.tensor([0]), next(bad, 0.0)).view_as(g))
    with pytest.raises(TrainingError, match="a gradient was NaN or infinite in epoch 1"):
        training.fit()


def test_a_failed_record_goes_when_the_run_succeeds(configure):
    run = configure("epochs=1")
    weights = run.weights
    weights.mkdir(parents=True)  # in the way of the file
    with pytest.raises(UserError, match=re.escape(str(weights))):
        train(run)
    assert load(run.failed_path).status == "failed"
    assert not run.record_path.exists()
    weights.rmdir()
    train(run)
    assert not run.failed_path.exists()
    assert load(run.record_path).status == "done"


@pytest.mark.parametrize("save_weights", ["true", "false"])
def test_what_is_left_beside_the_record(configure, tmp_path, save_weights):
    run = configure(f"save_weights={save_weights}", "checkpoint_seconds=0")
    record = train(run)
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    names = ("weights.pt", "packed.safetensors") if save_weights == "true" else ()
    weights = {f"outputs/{record.run_id}/{name}" for name in names}
    assert left == {f"runs/ste/{record.run_id}.json"} | weights
    if not weights:
        assert not (tmp_path / "outputs" / record.run_id).exists()
