"""From a configuration to Lightning's trainer: callbacks, logger, precision, compilation, and where a run resumes."""

import logging
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch._inductor.config
from hydra.utils import instantiate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from configs.schema import RunConfig, first_difference, identity
from configs.settings import UserError
from methods.base import Method

from .callbacks import Checkpoint, Diagnostics, EpochSeed, History, Progress
from .callbacks.checkpoint import WholeCheckpointIO
from .callbacks.history import log_row

# A run compiles by itself from this much work on: minutes of training, of which compiling takes a small part.
COMPILE_FROM_FLOPS = {"cpu": 2e13, "cuda": 2e16}


@dataclass
class Training:
    """Lightning's trainer with the callbacks whose results the record is made of."""

    trainer: pl.Trainer
    history: History
    diagnostics: Diagnostics | None
    checkpoint: Path

    def fit(self, method: Method, data: pl.LightningDataModule) -> None:
        """Trains, from the last checkpoint where there is one. UserError where it is none of this run."""
        resume = None
        if self.checkpoint.exists():
            try:
                state = torch.load(self.checkpoint, weights_only=True, map_location="cpu", mmap=True)
                history = state["callbacks"]["History"]
                rows, made_with = history["rows"], history["made_with"]
            except Exception as error:
                raise UserError(f"{self.checkpoint} is no readable checkpoint; remove it to start over") from error
            if difference := first_difference(made_with, self.history.made_with):
                raise UserError(f"{self.checkpoint} was made with another {difference}; remove it to start over")
            print(f"resuming after epoch {len(rows)}: {self.checkpoint}", flush=True)
            for row in rows:  # a logger starts anew, and is to have the whole curves
                log_row(self.trainer.loggers, row)
            resume = str(self.checkpoint)
        self.trainer.fit(method, datamodule=data, ckpt_path=resume, weights_only=True)


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


def prepare(
    config: RunConfig, method: Method, data: Any, device: torch.device, folder: Path, more: Sequence[pl.Callback] = ()
) -> Training:
    """The trainer of a run whose checkpoints lie in `folder`; compiles the method's training pass where it pays.

    `more` callbacks are called after the history has the row of an epoch, and before the checkpoint is written."""
    _quiet()
    diagnostics = Diagnostics() if config.diagnostics else None
    data_seen = {"fingerprint": data.fingerprint}
    history = History(diagnostics, {**identity(config), "data": data_seen, "diagnostics": config.diagnostics})
    path = folder / "last.ckpt"
    callbacks: list[pl.Callback] = [EpochSeed(config.seed)]
    callbacks += [diagnostics] if diagnostics else []
    callbacks += [history, Progress(history), *more, Checkpoint(path, config.checkpoint_seconds)]
    logger = build_logger(config.logger)
    if logger:
        logger.log_hyperparams({k: v for k, v in asdict(config).items() if k != "logger"})
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=1,
        precision={"32": "32-true", "bf16": "bf16-mixed"}[config.precision],  # type: ignore[arg-type]
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
    if _wants_compilation(config, method.net, data, device) and _can_compile(device):
        torch._dynamo.reset()  # a grid trains many nets in one process: each starts with fresh caches
        # on a CPU, random numbers of compiled code take 2.5 times as long as torch's own, which also are those of a run
        # that is not compiled
        torch._inductor.config.fallback_random = device.type == "cpu"
        method.compile_training()
    return Training(trainer, history, diagnostics, path)


def build_logger(settings: dict[str, Any]) -> Any:
    """The logger that configs/logger describes, or False. W&B without an API key logs offline and says so."""
    if "_target_" not in settings:
        return False
    settings = dict(settings)
    if settings["_target_"].endswith("WandbLogger") and not wandb_key() and "WANDB_MODE" not in os.environ:
        settings["offline"] = True
        print("W&B: no API key found (WANDB_API_KEY or `wandb login`), logging offline; `wandb sync` uploads it later")
    try:
        logger: Any = instantiate(settings)
    except Exception as error:
        raise UserError(f"logger: {' '.join(str(error).split())}") from error
    return logger


def wandb_key() -> str | None:
    """The API key that W&B would find here, by its environment variable or `wandb login`."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    try:
        host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
        entry = netrc(os.environ.get("NETRC", os.path.expanduser("~/.netrc"))).authenticators(host)
    except (OSError, ValueError, NetrcParseError):
        return None
    return entry[2] if entry else None


def training_flops(net: nn.Module, input_shape: tuple[int, ...], batch_size: int) -> float:
    """Floating-point operations of one training step's matrix products: forward, and twice that backward."""
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(batch_size, *input_shape, device=device))
    net.train(was_training)
    return 3.0 * counter.get_total_flops()


def _wants_compilation(config: RunConfig, net: nn.Module, data: Any, device: torch.device) -> bool:
    if config.compile is not None:
        return config.compile
    steps = config.epochs * len(data.train_dataloader())
    work = steps * training_flops(net, data.input_shape, config.batch_size)
    return work >= COMPILE_FROM_FLOPS.get(device.type, float("inf"))


def _can_compile(device: torch.device) -> bool:
    """Compiles one addition, which needs all that a net needs (a C++ compiler, Python's headers, Triton on CUDA)."""
    try:
        # without caches: an earlier result says nothing of today
        with torch._inductor.config.patch(force_disable_caches=True), warnings.catch_warnings(action="ignore"):
            torch.compile(lambda x: x + 1)(torch.zeros(8, device=device))
    except Exception as error:
        print(f"compile: no working compiler here ({type(error).__name__}), training goes on uncompiled")
        return False
    return True


def _quiet() -> None:
    """Lightning's and the compiler's remarks about hardware, tips and loaders say nothing about a run."""
    for name in ("pytorch_lightning", "lightning.pytorch", "torch.utils.cpp_extension"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*`lr_scheduler.step\\(\\)` before.*")
