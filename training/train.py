"""The spine: config → datamodule → method → training → record."""

import sys
from collections.abc import Sequence

import pytorch_lightning as pl
import torch

from datamodules.base import DataModule
from methods import METHODS
from methods.base import Method
from results.files import check_writable
from results.record import Record

from .data import open_data
from .environment import forget_peak_memory
from .errors import StoppedEarlyError
from .evaluation import measure
from .loggers import finish_wandb, mirror
from .packing import pack
from .place import ALONE, Place, place_of
from .precision import check_precision, float32_products
from .processes import join, together
from .recording import add_outcome, new_record, save_failed, save_finished
from .run import Run
from .trainer import Training, interruptible, pick_device, prepare


def train(run: Run, callbacks: Sequence[pl.Callback] = (), command: str | None = None) -> Record:
    """Trains one net and returns the record that it wrote; an existing record is returned as it is.

    callbacks: Lightning's, beside the run's own, such as EarlyStopping("val_error"). A run that one of them ends before
    its last epoch is measured, and writes no record: it is not the run that the configuration names. One that raises
    StoppedEarlyError ends the run at once.
    With several devices every process has these callbacks. Only the first process measures, writes and prints; in the
    others that torchrun or Slurm started, the record that is returned has no outcome.
    command: what the record names as the command that makes this run; null: what was typed."""
    place = place_of(run.config)
    if done := _finished(run, told=place.first):
        return done
    if not place.first:
        return _follow(place, run, callbacks)
    pick_device(run.config.device, devices=run.config.devices)
    with run.held(), float32_products(run.config.precision):
        if done := _finished(run):  # by another process, since this one looked
            return done
        for path in (run.record_path, *run.packed_paths):
            check_writable(path)
        return _train(run, callbacks, command, place)


def _finished(run: Run, told: bool = True) -> Record | None:
    """The record that is there and need not be made again."""
    done = None if run.config.rerun else run.finished()
    if done and told:
        print(f"skipped, the record exists (rerun=true trains again): {run.record_path}", flush=True)
    return done


def build(run: Run, place: Place = ALONE) -> tuple[DataModule, Method]:
    """The data, read but for its test set, and the method with its initial weights, both on the run's device."""
    config, device = run.config, pick_device(run.config.device, place.local_rank, run.config.devices)
    check_precision(config.precision, device)
    data = open_data(config, device)
    torch.manual_seed(config.seed)
    method = METHODS[config.method.name](config.method, config.net, data.input_shape, data.classes, config.loss)
    return data, method.to(device)


def _train(run: Run, callbacks: Sequence[pl.Callback], command: str | None, place: Place) -> Record:
    data, method = build(run, place)
    forget_peak_memory(data.device)
    record = new_record(run, data, method, command)
    try:
        with interruptible():
            with together(place, _follow, run, callbacks) as joined:
                join(joined, data.device)
                training = prepare(run, data, method, record, callbacks, joined)
                training.fit()
            if joined.count > 1:
                training.go_on_alone()
            conclude(training)
    except StoppedEarlyError:
        finish_wandb(0)
        raise
    except Exception as error:
        finish_wandb(1)
        save_failed(record, run, error)
        raise
    return record


def _follow(place: Place, run: Run, callbacks: Sequence[pl.Callback]) -> Record:
    """Trains as one of the processes that are not the first, and writes nothing."""
    with float32_products(run.config.precision):
        device = pick_device(run.config.device, place.local_rank, run.config.devices)
        join(place, device)  # the first one is there when it has read the data, and downloaded them
        data, method = build(run, place)
        record = new_record(run, data, method)
        with interruptible():
            prepare(run, data, method, record, callbacks, place).fit()
    return record


def conclude(training: Training) -> None:
    """Measures the chosen weights, fills the record and writes it, where the run had all its epochs."""
    epochs, planned = len(training.history.rows), training.run.config.epochs
    if epochs:
        measure(training)
        add_outcome(training)
    if epochs < planned:
        print(f"stopped after epoch {epochs} of {planned} by a callback: no record is written")
    else:
        save_finished(training, pack(training) if training.run.config.test else None)
    try:
        mirror(training.record, training.trainer.loggers)
    except Exception as error:  # the record is the source, and it is written
        print(f"logger: {' '.join(str(error).split())}", file=sys.stderr)
