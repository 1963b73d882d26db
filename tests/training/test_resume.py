"""Killed and started again with the same command, a run ends as if it had never been interrupted."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

import run as spine
from configs.settings import UserError
from methods import METHODS
from results.record import load
from training.train import train
from training.trainer import interruptible

EPOCHS = 60


def comparable(path: Path) -> dict:
    """A record without what tells of the machine and the hour."""
    content = asdict(load(path))
    for key in ("created", "command"):
        del content[key]
    content["environment"] = {
        k: v for k, v in content["environment"].items() if k not in ("commit", "commits", "dirty")
    }
    content["cost"] = {}
    content["packed"] = {k: v for k, v in content["packed"].items() if k not in ("images_per_second", "seconds")}
    content["curves"] = {k: v for k, v in content["curves"].items() if k not in ("seconds", "elapsed")}
    return content


def start_and_kill(arguments: list[str], checkpoint: Path, after: int) -> None:
    """Starts the command in a process of its own, and kills it once it has written `after` checkpoints."""
    child = subprocess.Popen([sys.executable, spine.__file__, *arguments], stdout=subprocess.DEVNULL)
    seen, last = 0, None
    try:
        while seen < after:
            assert child.poll() is None, "the run ended before it could be killed"
            time.sleep(0.002)
            try:
                found = os.stat(checkpoint)
            except FileNotFoundError:
                continue
            stamp = found.st_ino, found.st_mtime_ns
            if stamp != last:
                seen, last = seen + 1, stamp
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        status = child.wait()
    assert status == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        ["method=ste", "method.activation=stochastic"],
        ["method=binaryconnect", "method.weights=stochastic"],
        ["method=bop2nd", "dataset.augment=crop"],
        ["method=pbop", "precision=bf16"],
    ],
    ids=lambda value: value[0],
)
def test_sigkill_and_again(method, command, configure, overrides, tmp_path):
    settings = [*method, f"epochs={EPOCHS}", "checkpoint_seconds=0", "limit_train=400"]
    whole = ["results_dir=" + str(tmp_path / "whole"), "output_dir=" + str(tmp_path / "whole_outputs")]
    assert command(*settings, *whole).status == 0

    run = configure(*settings)
    folder = run.folder
    after = random.SystemRandom().randint(1, EPOCHS // 3)
    start_and_kill(command.arguments(*settings), folder / "last.ckpt", after)
    assert not run.record_path.exists()
    outcome = command(*settings)
    assert outcome.status == 0
    resumed_after = int(outcome.out.split("resuming after epoch ")[1].split(":")[0])
    assert after <= resumed_after < EPOCHS

    uninterrupted = configure(*settings, *whole).record_path
    assert comparable(run.record_path) == comparable(uninterrupted), f"killed after checkpoint {after}"
    ours, theirs = (
        torch.load(f / "weights.pt", weights_only=True) for f in (folder, tmp_path / "whole_outputs" / folder.name)
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours), f"killed after checkpoint {after}"
    packed = [] if "refused" in load(run.record_path).packed else ["packed.safetensors"]  # it evaluates real weights
    assert sorted(p.name for p in folder.iterdir()) == [*packed, "weights.pt"]


class KilledError(Exception):
    pass


class At(pl.Callback):
    """Does something at the start of the third epoch."""

    def __init__(self, action) -> None:
        self.action = action

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            self.action()


def be_killed():
    raise KilledError


RESUMED = [
    *([f"method={name}"] for name in METHODS),
    ["method=ste", "method.activation=stochastic", "precision=bf16"],
    ["method=pbnet", "method.pretrain=0.6"],  # broken off while the real twin trains,
    ["method=pbnet", "method.pretrain=0.4", "method.sampling=false", "precision=bf16"],  # and where θ starts from it
]


@pytest.mark.parametrize("method", RESUMED, ids="-".join)
def test_a_run_that_broke_off_in_the_middle_ends_as_if_it_had_not(method, configure, assemble, tmp_path):
    settings = [*method, "epochs=5", "checkpoint_seconds=0", "limit_train=400", "dataset.augment=crop"]
    whole = configure(*settings, f"results_dir={tmp_path}/whole", f"output_dir={tmp_path}/whole_outputs")
    train(whole)
    run = configure(*settings)
    training = assemble(run, At(be_killed))
    with pytest.raises(KilledError):
        training.fit()
    torch.manual_seed(123)  # another process starts with other generators
    train(run)
    assert comparable(run.record_path) == comparable(whole.record_path)
    weights = [torch.load(c.weights, weights_only=True) for c in (run, whole)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


ONE_A_FAMILY = ("ste", "bop2nd", "pbnet", "bernoulli")


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=() if name in ONE_A_FAMILY else pytest.mark.slow) for name in METHODS]
)
@pytest.mark.parametrize("validation", [True, False])
def test_killed_between_the_last_checkpoint_and_the_record(method, validation, configure, assemble, tmp_path, capsys):
    settings = [f"method={method}", "epochs=3", *([] if validation else ["dataset.validation=0", "select=last"])]
    run = configure(*settings)
    training = assemble(run)
    training.fit()  # and no `conclude`
    assert training.run.checkpoint.exists()
    train(run)
    assert "resuming after epoch 3" in capsys.readouterr().out

    whole = configure(*settings, f"results_dir={tmp_path}/whole", f"output_dir={tmp_path}/whole_outputs")
    train(whole)
    assert comparable(run.record_path) == comparable(whole.record_path)


@pytest.fixture
def interrupted(configure, assemble):
    """A run whose checkpoint is that after 2 of 4 epochs."""
    run = configure("epochs=4", "checkpoint_seconds=0")
    training = assemble(run, At(be_killed))
    with pytest.raises(KilledError):
        training.fit()
    return run


def test_a_checkpoint_loads_with_weights_only_and_has_all(interrupted):
    checkpoint = interrupted.checkpoint
    state = torch.load(checkpoint, weights_only=True)
    history = state["callbacks"]["History"]
    assert [row["epoch"] for row in history["rows"]] == [1, 2]
    assert set(history["best_weights"]) == {name.removeprefix("net.") for name in state["state_dict"]}
    assert state["callbacks"]["Diagnostics"]["state"]["step"] == 24
    assert state["lr_schedulers"][0]["steps"] == 24
    moments = [s for o in state["optimizer_states"][0]["optimizers"] for s in o["state"].values()]
    assert all({"step", "exp_avg", "exp_avg_sq"} <= set(s) for s in moments)
    assert len(moments) == 3 + 3 * 2  # weights, and γ and β of the batch norms
    assert [p.name for p in checkpoint.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("damage", ["cut", "garbled", "empty", "another_file"])
def test_a_damaged_checkpoint_is_named(interrupted, damage):
    run, checkpoint = interrupted, interrupted.checkpoint
    content = checkpoint.read_bytes()
    if damage == "another_file":
        torch.save({"net.0.weight": torch.zeros(3)}, checkpoint)
    else:
        checkpoint.write_bytes(
            {"cut": content[: len(content) // 2], "garbled": b"x" * len(content), "empty": b""}[damage]
        )
    with pytest.raises(UserError) as error:
        train(run)
    assert str(error.value) == f"{checkpoint} is no readable checkpoint; remove it to start over"
    assert not run.record_path.exists()
    assert load(run.failed_path).error == f"UserError: {error.value}"
    checkpoint.unlink()
    train(run)
    assert len(load(run.record_path).curves["epoch"]) == 4
    assert not run.failed_path.exists()


def test_temporary_files_of_a_killed_process_are_removed(interrupted):
    run, checkpoint = interrupted, interrupted.checkpoint
    stale = checkpoint.with_name(".k1ll3d.tmp")
    stale.write_bytes(b"half a checkpoint")
    train(run)
    assert sorted(p.name for p in checkpoint.parent.iterdir()) == ["packed.safetensors", "weights.pt"]
    assert not stale.exists()


def test_the_logger_of_a_resumed_run_has_the_whole_curves(interrupted, configure):
    run = configure("epochs=4", "logger=csv")
    assert run.record_path == interrupted.record_path
    train(run)
    (table,) = Path(run.config.output_dir, "csv").rglob("metrics.csv")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    curves = load(run.record_path).curves
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    for column in ("train_loss", "val_error", "flip_rate"):
        assert [float(row[column]) for row in rows] == pytest.approx(curves[column], rel=1e-6)


def test_ctrl_c_is_an_interrupt_and_the_run_goes_on_from_its_checkpoint(configure, assemble, capsys):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with the signal ignored
    run = configure("epochs=4", "checkpoint_seconds=0")
    training = assemble(run, At(lambda: signal.raise_signal(signal.SIGINT)))
    with pytest.raises(KeyboardInterrupt), interruptible():
        training.fit()
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler  # a second Ctrl-C is heard too
    train(run)
    assert "resuming after epoch 2" in capsys.readouterr().out
    assert load(run.record_path).curves["epoch"] == [1, 2, 3, 4]


def test_a_second_process_on_the_same_run_is_refused(configure):
    run = configure()
    with run.held(), pytest.raises(UserError, match="another process is training this run"):
        train(run)
    assert not run.folder.exists()
    assert train(run).status == "done"


@pytest.mark.parametrize("other", ["diagnostics=false", "deterministic=false", "method.lr=0.02"])
def test_a_checkpoint_made_with_other_settings_is_refused(interrupted, configure, other):
    checkpoint = interrupted.checkpoint
    changed = configure("epochs=4", other)
    elsewhere = changed.folder
    if elsewhere != checkpoint.parent:  # a default that has changed since would lead to the same folder
        checkpoint.parent.rename(elsewhere)
    name = other.split("=")[0]
    with pytest.raises(UserError, match=f"last.ckpt was made with another {name}; remove it to start over"):
        train(changed)
    assert (elsewhere / "last.ckpt").exists()
