"""From a run to Lightning's trainer: callbacks, logger, precision, compilation, and where a run resumes."""

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import pytorch_lightning as pl
import torch

from configs.schema import first_difference, identity
from configs.settings import UserError
from datamodules.base import DataModule
from methods.base import Method
from results.record import Record

from .callbacks import Checkpoint, Diagnostics, EpochSeed, History, Progress
from .callbacks.checkpoint import WholeCheckpointIO
from .compilation import compile_where_it_pays
from .loggers import build_logger, log_row
from .memory_format import use_channels_last
from .precision import PRECISIONS
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
            print(f"resuming after epoch {len(rows)}: {checkpoint}", flush=True)
            for row in rows:  # a logger starts anew, and is to have the whole curves
                log_row(self.trainer.loggers, row)
            resume = str(checkpoint)
        self.trainer.fit(self.method, datamodule=self.data, ckpt_path=resume, weights_only=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C within is a KeyboardInterrupt, though Lightning makes a SystemExit of it and leaves the signal ignored."""
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from None


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. UserError where the named device is not there."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[name]:
        raise UserError(
            f"device={name} is not available here (available: {', '.join(k for k, v in available.items() if v)})"
        )
    return torch.device(name)


def prepare(run: Run, data: DataModule, method: Method, record: Record, more: Sequence[pl.Callback] = ()) -> Training:
    """The trainer of a run; the net is laid out in memory as suits the device, and compiled where it pays.

    `more` callbacks are called after the history has the row of an epoch, and before the checkpoint is written."""
    _quiet()
    config = run.config
    diagnostics = Diagnostics() if config.diagnostics else None
    data_seen = {"fingerprint": data.fingerprint}
    made_with = {**identity(config), "data": data_seen, "diagnostics": config.diagnostics}
    history = History(diagnostics, made_with, config.select)
    callbacks: list[pl.Callback] = [EpochSeed(config.seed)]
    callbacks += [diagnostics] if diagnostics else []
    callbacks += [
        history,
        Progress(history, run, data.label),
        *more,
        Checkpoint(run.checkpoint, config.checkpoint_seconds),
    ]
    logger = build_logger(config.logger)
    if logger:
        logger.log_hyperparams({k: v for k, v in asdict(config).items() if k != "logger"})
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(data.device.type, data.device.type),
        devices=1,
        precision=PRECISIONS[config.precision],  # type: ignore[arg-type]
        max_epochs=config.epochs,
        gradient_clip_val=config.gradient_clip or None,
        deterministic=config.deterministic,
        logger=logger,
        callbacks=callbacks,
        plugins=[WholeCheckpointIO()],
        num_sanity_val_steps=0,
        enable_model_summary=False,
        default_root_dir=config.output_dir,
    )
    use_channels_last(method.net, data.device, config.precision)
    compile_where_it_pays(config, method, data)
    return Training(run, data, method, record, trainer, history, diagnostics)


def _quiet() -> None:
    """Lightning's and the compiler's remarks about hardware, tips and loaders say nothing about a run."""
    for name in ("pytorch_lightning", "lightning.pytorch", "torch.utils.cpp_extension"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message="Total length of .* is zero.*")  # no validation set
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*`lr_scheduler.step\\(\\)` before.*")
