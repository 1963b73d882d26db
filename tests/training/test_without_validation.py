"""Runs that choose the last epoch, and runs of all training examples, which have nothing else to choose by."""

import pytest
import torch

from configs.settings import UserError
from results.record import load
from training.summary import run_summary
from training.train import train


def weights_of(run):
    return torch.load(run.weights, weights_only=True)


def test_the_last_epoch_is_chosen_where_it_is_not_the_best(configure):
    """A rate that ruins the net in the end: the lowest error comes early."""
    settings = ["epochs=4", "method.lr=0.02", "method.lr_schedule=milestones", "method.milestones=[3]"]
    best, last = (configure(*settings, "method.factors=[500]", f"select={s}") for s in ("best", "last"))
    records = [train(run) for run in (best, last)]
    curves = records[1].curves
    assert records[0].curves["val_error"] == curves["val_error"]
    assert records[0].best_epoch < 4
    assert records[1].best_epoch == 4
    assert records[1].validation["error"] == records[1].validation["last_error"] == curves["val_error"][-1]
    assert records[1].test["error"] == records[1].test["last_error"] == records[0].test["last_error"]
    assert records[0].validation["error"] < records[1].validation["error"]
    assert any(not torch.equal(a, b) for a, b in zip(weights_of(best).values(), weights_of(last).values(), strict=True))


@pytest.mark.parametrize("method", ["ste", "bernoulli", "bayesbinn", "bop"])
def test_a_run_of_all_training_examples(configure, method):
    run = configure(f"method={method}", "dataset.validation=0", "select=last", "checkpoint_seconds=0")
    train(run)
    record = load(run.record_path)
    assert record.data["sizes"] == {"train": 1438, "validation": 0, "test": 359}
    assert record.validation == {}
    assert record.best_epoch == 2
    assert record.test["error"] == record.test["last_error"] < 80
    assert record.curves["val_error"] == record.curves["val_loss"] == [None, None]
    text = run_summary(record, run.record_path)
    assert "validation error" not in text
    assert "test error" in text


def test_there_is_nothing_to_choose_by_without_validation(configure):
    with pytest.raises(UserError, match=r"validation=0 leaves no validation error.*select=last"):
        configure("dataset.validation=0")


def test_the_command_of_a_run_without_validation_ends_well(command):
    outcome = command("dataset.validation=0", "select=last", "test=false", "epochs=1")
    assert outcome.status == 0, outcome.err
    assert "record  " in outcome.out
    assert command("dataset.validation=0", "select=last", "test=false", "epochs=1").status == 0  # skipped
