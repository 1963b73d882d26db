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
from results.files import alone_in
from results.record import failed_path, load, record_path, run_id
from run import train
from training.trainer import interruptible

EPOCHS = 60


def comparable(path: Path) -> dict:
    """A record without what tells of the machine and the hour."""
    content = asdict(load(path))
    for key in ("created", "command"):
        del content[key]
    content["environment"] = {k: v for k, v in content["environment"].items() if k not in ("commit", "dirty")}
    content["cost"] = {}
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


@pytest.mark.parametrize(
    "method",
    [
        ["method=ste", "method.activation=stochastic"],
        pytest.param(["method=binaryconnect", "method.weights=stochastic"], marks=pytest.mark.slow),
        pytest.param(["method=bop2nd", "dataset.augment=crop"], marks=pytest.mark.slow),
        pytest.param(["method=pbop", "precision=bf16"], marks=pytest.mark.slow),
    ],
    ids=lambda value: value[0],
)
def test_sigkill_and_again(method, command, configure, overrides, tmp_path):
    settings = [*method, f"epochs={EPOCHS}", "checkpoint_seconds=0", "limit_train=400"]
    whole = ["results_dir=" + str(tmp_path / "whole"), "output_dir=" + str(tmp_path / "whole_outputs")]
    assert command(*settings, *whole).status == 0

    config = configure(*settings)
    folder = Path(config.output_dir) / load(record_path(configure(*settings, *whole))).run_id
    after = random.SystemRandom().randint(1, EPOCHS // 3)
    start_and_kill(command.arguments(*settings), folder / "last.ckpt", after)
    assert not record_path(config).exists()
    outcome = command(*settings)
    assert outcome.status == 0
    resumed_after = int(outcome.out.split("resuming after epoch ")[1].split(":")[0])
    assert after <= resumed_after < EPOCHS

    uninterrupted = record_path(configure(*settings, *whole))
    assert comparable(record_path(config)) == comparable(uninterrupted), f"killed after checkpoint {after}"
    ours, theirs = (
        torch.load(f / "weights.pt", weights_only=True) for f in (folder, tmp_path / "whole_outputs" / folder.name)
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours), f"killed after checkpoint {after}"
    assert sorted(p.name for p in folder.iterdir()) == ["weights.pt"]


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
    config = configure(*settings)
    run = assemble(config, At(be_killed))
    with pytest.raises(KilledError):
        run.training.fit(run.method, run.data)
    torch.manual_seed(123)  # another process starts with other generators
    train(config)
    assert comparable(record_path(config)) == comparable(record_path(whole))
    weights = [
        torch.load(Path(c.output_dir, run.record.run_id, "weights.pt"), weights_only=True) for c in (config, whole)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("method", METHODS)
def test_killed_between_the_last_checkpoint_and_the_record(method, configure, assemble, tmp_path, capsys):
    config = configure(f"method={method}", "epochs=3")
    run = assemble(config)
    run.training.fit(run.method, run.data)  # and no `conclude`
    assert run.training.checkpoint.exists()
    train(config)
    assert "resuming after epoch 3" in capsys.readouterr().out

    whole = configure(
        f"method={method}", "epochs=3", f"results_dir={tmp_path}/whole", f"output_dir={tmp_path}/whole_outputs"
    )
    train(whole)
    assert comparable(record_path(config)) == comparable(record_path(whole))


@pytest.fixture
def interrupted(configure, assemble):
    """A configuration and its checkpoint after 2 of 4 epochs."""
    config = configure("epochs=4", "checkpoint_seconds=0")
    run = assemble(config, At(be_killed))
    with pytest.raises(KilledError):
        run.training.fit(run.method, run.data)
    return config, run.training.checkpoint


def test_a_checkpoint_loads_with_weights_only_and_has_all(interrupted):
    _, checkpoint = interrupted
    state = torch.load(checkpoint, weights_only=True)
    history = state["callbacks"]["History"]
    assert [row["epoch"] for row in history["rows"]] == [1, 2]
    assert history["best_error"] == min(row["val_error"] for row in history["rows"])
    assert set(history["best_weights"]) == {name.removeprefix("net.") for name in state["state_dict"]}
    assert state["callbacks"]["Diagnostics"]["state"]["step"] == 24
    assert state["lr_schedulers"][0]["steps"] == 24
    moments = [s for o in state["optimizer_states"][0]["optimizers"] for s in o["state"].values()]
    assert all({"step", "exp_avg", "exp_avg_sq"} <= set(s) for s in moments)
    assert len(moments) == 3 + 3 * 2  # weights, and γ and β of the batch norms
    assert [p.name for p in checkpoint.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("damage", ["cut", "garbled", "empty", "another_file"])
def test_a_damaged_checkpoint_is_named(interrupted, damage):
    config, checkpoint = interrupted
    content = checkpoint.read_bytes()
    if damage == "another_file":
        torch.save({"net.0.weight": torch.zeros(3)}, checkpoint)
    else:
        checkpoint.write_bytes(
            {"cut": content[: len(content) // 2], "garbled": b"x" * len(content), "empty": b""}[damage]
        )
    with pytest.raises(UserError) as error:
        train(config)
    assert str(error.value) == f"{checkpoint} is no readable checkpoint; remove it to start over"
    assert not record_path(config).exists()
    assert load(failed_path(config)).error == f"UserError: {error.value}"
    checkpoint.unlink()
    train(config)
    assert len(load(record_path(config)).curves["epoch"]) == 4
    assert not failed_path(config).exists()


def test_temporary_files_of_a_killed_process_are_removed(interrupted):
    config, checkpoint = interrupted
    stale = checkpoint.with_name(".k1ll3d.tmp")
    stale.write_bytes(b"half a checkpoint")
    train(config)
    assert [p.name for p in checkpoint.parent.iterdir()] == ["weights.pt"]
    assert not stale.exists()


def test_the_logger_of_a_resumed_run_has_the_whole_curves(interrupted, configure):
    config = configure("epochs=4", "logger=csv")
    assert record_path(config) == record_path(interrupted[0])
    train(config)
    (table,) = Path(config.output_dir, "csv").rglob("metrics.csv")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    curves = load(record_path(config)).curves
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    for column in ("train_loss", "val_error", "flip_rate"):
        assert [float(row[column]) for row in rows] == pytest.approx(curves[column], rel=1e-6)


def test_ctrl_c_is_an_interrupt_and_the_run_goes_on_from_its_checkpoint(configure, assemble, capsys):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with the signal ignored
    config = configure("epochs=4", "checkpoint_seconds=0")
    run = assemble(config, At(lambda: signal.raise_signal(signal.SIGINT)))
    with pytest.raises(KeyboardInterrupt), interruptible():
        run.training.fit(run.method, run.data)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler  # a second Ctrl-C is heard too
    train(config)
    assert "resuming after epoch 2" in capsys.readouterr().out
    assert load(record_path(config)).curves["epoch"] == [1, 2, 3, 4]


def test_a_second_process_on_the_same_run_is_refused(configure):
    config = configure()
    folder = Path(config.output_dir, run_id(config))
    with alone_in(folder), pytest.raises(UserError, match="another process is training this run"):
        train(config)
    assert not folder.exists()
    assert train(config).status == "done"


@pytest.mark.parametrize("other", ["diagnostics=false", "method.lr=0.02"])
def test_a_checkpoint_made_with_other_settings_is_refused(interrupted, configure, other):
    checkpoint = interrupted[1]
    changed = configure("epochs=4", other)
    elsewhere = Path(changed.output_dir, run_id(changed))
    if elsewhere != checkpoint.parent:  # a default that has changed since would lead to the same folder
        checkpoint.parent.rename(elsewhere)
    name = other.split("=")[0]
    with pytest.raises(UserError, match=f"last.ckpt was made with another {name}; remove it to start over"):
        train(changed)
    assert (elsewhere / "last.ckpt").exists()
