"""From a run to Lightning's trainer: callbacks, logger, precision, compilation, and where a run resumes."""

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from configs.schema import RunConfig, first_difference, identity
from configs.settings import UserError
from datamodules.base import DataModule
from datamodules.loader import Share
from methods.base import Method
from methods.binary.normalization import NormError
from methods.binary.synchronized import synchronize
from methods.binary.weight_draws import seed_weight_draws
from results.record import Record

from .callbacks import Checkpoint, Diagnostics, EpochSeed, History, Progress
from .callbacks.checkpoint import WholeCheckpointIO
from .compilation import compile_where_it_pays
from .distributed import InStep, SharedBatches
from .environment import commit
from .loggers import build_logger, log_row
from .memory_format import use_channels_last
from .place import ALONE, Place
from .precision import PRECISIONS
from .processes import leave
from .run import Run


@dataclass
class Training:
    """A run with all that it takes: data, method, the record to be, and Lightning's trainer with the callbacks whose
    results the record is made of."""

    run: Run
    data: DataModule
    method: Method
    record: Record
    trainer: pl.Trainer
    history: History
    diagnostics: Diagnostics | None
    place: Place = ALONE
    optimizer: torch.optim.Optimizer | None = None  # once the run was trained

    def fit(self) -> None:
        """Trains, from the last checkpoint where there is one. UserError where it is none of this run."""
        checkpoint = self.run.checkpoint
        resume = None
        if checkpoint.exists():
            try:
                state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
                history = state["callbacks"]["History"]
                rows, made_with = history["rows"], history["made_with"]
            except Exception as error:
                raise UserError(f"{checkpoint} is no readable checkpoint; remove it to start over") from error
            if difference := first_difference(made_with, self.history.made_with):
                raise UserError(f"{checkpoint} was made with another {difference}; remove it to start over")
            if self.place.first:
                print(f"resuming after epoch {len(rows)}: {checkpoint}", flush=True)
            for row in rows:  # a logger starts anew, and is to have the whole curves
                log_row(self.trainer.loggers, row)
            resume = str(checkpoint)
        self.trainer.fit(self.method, datamodule=self.data, ckpt_path=resume, weights_only=True)
        self.optimizer = self.trainer.optimizers[0]

    def method_with_data(self) -> Method:
        """The method, its net on the device of the data: Lightning leaves it on the CPU when it has fitted or
        evaluated."""
        return self.method.to(self.data.device)

    def go_on_alone(self) -> None:
        """From now on this process works by itself, with all the data: what follows training is the first one's."""
        leave()
        seed_weight_draws(None)
        self.data.share(Share())
        device = self.data.device
        self.trainer = pl.Trainer(
            **_hardware(self.run.config, device),
            devices=[device.index] if device.type == "cuda" else 1,
            logger=self.trainer.loggers or False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            default_root_dir=self.run.config.output_dir,
        )


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C within is a KeyboardInterrupt, though Lightning makes a SystemExit of it and leaves the signal ignored."""
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from None


def pick_device(name: str, number: int = 0, devices: int = 1) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; of several `devices` that with this number. UserError where the
    named device is not there, or not so many."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if available["cuda"] else "cpu"
    if not available[name]:
        raise UserError(
            f"device={name} is not available here (available: {', '.join(k for k, v in available.items() if v)})"
        )
    there = {"cpu": devices, "cuda": torch.cuda.device_count(), "mps": 1}[name]
    if devices > there:
        raise UserError(f"devices={devices}: there {'is' if there == 1 else 'are'} {there} of device={name} here")
    # with its number also where it is the only one: NCCL asks for it, on several machines with one GPU each
    return torch.device(name, number) if name == "cuda" else torch.device(name)


def prepare(
    run: Run,
    data: DataModule,
    method: Method,
    record: Record,
    more: Sequence[pl.Callback] = (),
    place: Place = ALONE,
) -> Training:
    """The trainer of a run; the net is laid out in memory as suits the device, and compiled where it pays.

    `more` callbacks are called after the history has the row of an epoch, and before the checkpoint is written."""
    _quiet()
    config = run.config
    diagnostics = Diagnostics() if config.diagnostics else None
    data_seen = {"fingerprint": data.fingerprint}
    made_with = {**identity(config), "data": data_seen}
    made_with |= {"diagnostics": config.diagnostics, "deterministic": config.deterministic}
    history = History(diagnostics, made_with, config.select, commit()[0])
    share = Share(place.rank, place.count)
    callbacks: list[pl.Callback] = [EpochSeed(config.seed, share)]
    if place.count > 1:
        _check_shares(data, place)
        data.share(share)
        callbacks += [InStep(place, data.fingerprint)]
    callbacks += [diagnostics] if diagnostics else []
    callbacks += [
        history,
        *([Progress(history, run, data.label)] if place.first else []),
        *more,
        Checkpoint(run.checkpoint, config.checkpoint_seconds),
    ]
    logger: Any = build_logger(config.logger) if place.first else False
    if logger:
        logger.log_hyperparams({k: v for k, v in asdict(config).items() if k != "logger"})
    several: dict[str, Any] = {}
    if place.count > 1:
        several = {"strategy": SharedBatches(place), "num_nodes": config.num_nodes, "use_distributed_sampler": False}
    trainer = pl.Trainer(
        **_hardware(config, data.device),
        **several,
        devices=config.devices,
        max_epochs=config.epochs,
        gradient_clip_val=config.gradient_clip or None,
        logger=logger,
        callbacks=callbacks,
        plugins=[WholeCheckpointIO()],
        num_sanity_val_steps=0,
        enable_progress_bar=place.first,
        default_root_dir=config.output_dir,
    )
    if config.batch_norm == "synchronized":
        _synchronize(config, method)
    use_channels_last(method.net, data.device, config.precision)
    compile_where_it_pays(config, method, data)
    return Training(run, data, method, record, trainer, history, diagnostics, place)


def _hardware(config: RunConfig, device: torch.device) -> dict[str, Any]:
    """What a trainer is told of the device and how to compute on it."""
    return {
        "accelerator": {"cuda": "gpu"}.get(device.type, device.type),
        "precision": PRECISIONS[config.precision],
        "deterministic": config.deterministic,
        "enable_model_summary": False,
    }


def _check_shares(data: DataModule, place: Place) -> None:
    """UserError where a process would have nothing to do."""
    for split, least in (("train", 2 * place.count), ("validation", place.count)):
        size = data.sizes[split]
        if size and size < least:
            raise UserError(f"{size} {split} examples are too few for {place.count} processes: {least} are needed")


def _synchronize(config: RunConfig, method: Method) -> None:
    asked = "batch_norm=synchronized"
    if config.compile:
        raise UserError(f"{asked} cannot be compiled: set compile=false, or batch_norm=per_process")
    try:
        synchronize(method.net)
    except NormError as error:
        raise UserError(f"{asked} with method={config.method.name}: {error}; set batch_norm=per_process") from error


def _quiet() -> None:
    """Lightning's and the compiler's remarks about hardware, tips and loaders say nothing about a run."""
    for name in ("pytorch_lightning", "lightning.pytorch", "torch.utils.cpp_extension"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message="Total length of .* is zero.*")  # no validation set
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    # of several processes
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # figures are the same in all, see Tally.take
    warnings.filterwarnings("ignore", message=".*`broadcast_buffers` is deprecated.*")
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides.*")  # of one channel
    warnings.filterwarnings("ignore", message=".*`lr_scheduler.step\\(\\)` before.*")
