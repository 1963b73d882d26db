"""Resume: an atomic checkpoint at the end of an epoch, and random streams that are a function of (seed, epoch)."""

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from datamodules.loader import Share
from methods.binary.weight_draws import seed_weight_draws
from results.files import write_whole

STREAM, WEIGHTS = 1, 2  # set these seeds apart from those of the data order, which come from (seed, epoch) too


class EpochSeed(pl.Callback):
    """Seeds torch's generators and the order of the batches at the start of every epoch, only from (seed, epoch).

    A resumed run thus draws what an uninterrupted one would, and no generator state needs to be kept. Of several
    processes each has a seed of its own, for what it draws for its examples, and all have the same one for weights."""

    def __init__(self, seed: int, share: Share) -> None:
        self.seed, self.share = seed, share

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch, several = trainer.current_epoch, self.share.count > 1
        torch.manual_seed(_mixed(self.seed, epoch, STREAM, *([self.share.rank] if several else [])))
        seed_weight_draws(_mixed(self.seed, epoch, WEIGHTS) if several else None)
        trainer.datamodule.train_dataloader().set_epoch(trainer.current_epoch)  # type: ignore[attr-defined]


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def save_whole(state: dict[str, Any], path: Path) -> None:
    """`torch.save`, whole or not at all. UserError where there is no space or no permission."""
    content = io.BytesIO()
    torch.save(state, content)
    write_whole(path, content.getvalue())


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its final name, syncs it, then renames it: a kill at any moment leaves the old
    checkpoint or the new one, whole. (Lightning's own way stages it in the system's temporary folder.)"""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_whole(checkpoint, Path(path))


class Checkpoint(pl.callbacks.Checkpoint):
    """Saves the whole training state (weights, moments, schedules, curves, diagnostics, best weights so far) to `path`.

    Saves after an epoch when `seconds` have passed since the last; being a `Checkpoint`, Lightning calls it after all
    other callbacks, whose state it must hold."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        self.seconds = seconds
        self.last = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_last_batch:  # a callback stopped in the midst of the epoch
            return
        done = trainer.current_epoch + 1 >= (trainer.max_epochs or 1)
        # all processes save or none, since they wait for one another: the first one's clock decides
        if trainer.strategy.broadcast(done or time.monotonic() - self.last >= self.seconds):
            trainer.save_checkpoint(self.path)
            self.last = time.monotonic()


def cpu_copy(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """A detached copy of a state_dict in main memory, each tensor contiguous, whatever its memory format in the run."""
    layout = torch.contiguous_format
    return {name: value.detach().to("cpu", copy=True, memory_format=layout) for name, value in state.items()}
