"""Lightning's own callbacks see the figures of every epoch, by their names in the record's curves."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from results.record import load
from training.train import train


def test_model_checkpoint_keeps_the_epoch_that_validation_chooses(configure, tmp_path):
    best = ModelCheckpoint(tmp_path / "mine", "{epoch}", monitor="val_error", save_weights_only=True)
    run = configure("epochs=5", "method.lr=0.1", "seed=1")
    record = train(run, [best])
    assert best.best_model_score.item() == pytest.approx(min(record.curves["val_error"]), rel=1e-6)
    assert Path(best.best_model_path).name == f"epoch={record.best_epoch - 1}.ckpt"
    theirs = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    ours = torch.load(run.weights, weights_only=True)
    assert all(torch.equal(theirs[f"net.{name}"], value) for name, value in ours.items())


@pytest.mark.parametrize("figure", ["val_error", "val_loss", "train_loss", "train_error", "flip_rate"])
def test_early_stopping_ends_a_run_which_then_leaves_no_record(configure, capsys, figure):
    run = configure("epochs=6")
    stop = EarlyStopping(figure, patience=1, min_delta=1e9)  # nothing counts as better than the first epoch
    record = train(run, [stop])
    assert record.curves["epoch"] == [1, 2]
    assert record.validation["error"] == min(record.curves["val_error"])
    assert record.test
    assert not run.record_path.exists()
    assert not run.failed_path.exists()
    assert "stopped after epoch 2 of 6 by a callback: no record is written\n" in capsys.readouterr().out


def test_a_run_that_a_callback_stopped_is_trained_to_its_end_by_the_next_command(configure):
    run = configure("epochs=6")
    train(run, [EarlyStopping("val_error", patience=1, min_delta=1e9)])
    assert not run.record_path.exists()
    train(run)
    assert load(run.record_path).curves["epoch"] == [1, 2, 3, 4, 5, 6]


class StopAt(pl.Callback):
    """Asks for the end within an epoch, as Lightning's Timer does."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place = epoch - 1, step - 1

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop = trainer.should_stop or (trainer.current_epoch, batch_idx) == self.place


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_an_epoch_that_a_callback_broke_off_is_none(configure, capsys, epoch):
    run = configure("epochs=3", "checkpoint_seconds=0")
    record = train(run, [StopAt(epoch, 3)])
    assert record.curves.get("epoch", []) == list(range(1, epoch))
    assert not run.record_path.exists()
    assert not run.failed_path.exists()
    assert f"stopped after epoch {epoch - 1} of 3 by a callback: no record is written\n" in capsys.readouterr().out

    train(run)
    whole = train(configure("epochs=3", f"results_dir={run.record_path.parent}/whole"))
    assert load(run.record_path).curves["val_loss"] == pytest.approx(whole.curves["val_loss"], rel=1e-6)
