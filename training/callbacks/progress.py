"""What a run says while it trains: what it is, how long it will take, and a bar or a line for each epoch."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
import torch
from tqdm import tqdm

from configs.registry import ROOT

from ..environment import synchronize
from ..run import Run
from ..summary import duration
from .history import History

FORGOTTEN = 5  # first steps of an epoch; in the first epoch they compile and allocate
MEASURED = 20  # steps after them, from which the whole time is estimated
LONG = 3600  # seconds from which on a smaller setting is named


class Progress(pl.callbacks.ProgressBar):
    """One bar over all steps of the run. Where standard error is no terminal it prints a line an epoch instead."""

    def __init__(self, history: History, run: Run, label: str) -> None:
        super().__init__()
        self.history, self.run, self.label = history, run, label

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.epochs, self.steps = trainer.max_epochs or 1, int(trainer.num_training_batches)
        self.terminal = sys.stderr.isatty()
        self.clock: float | None = None  # when the steps began that are measured
        self.estimated = False
        self.on_cpu = pl_module.device.type == "cpu"
        # the first steps (compilation, allocation) say little about the rest: smoothing forgets them
        self.bar: tqdm = tqdm(
            total=self.epochs * self.steps,
            initial=trainer.current_epoch * self.steps,
            disable=not self.terminal,
            dynamic_ncols=True,
            smoothing=0.05,
            mininterval=0.2,
            leave=False,
            bar_format="{l_bar}{bar:20}| {elapsed} elapsed, {remaining} left{postfix}",
        )
        self._say(self._title(pl_module))

    def _title(self, method: Any) -> str:
        """What is trained, on what, compiled or not."""
        config, device = self.run.config, method.device
        weights = sum(p.numel() for p in method.net.parameters())
        place = f" ({torch.get_num_threads()} threads)" if device.type == "cpu" else ""
        place = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else place
        count = config.devices * config.num_nodes
        several = f"{count} processes, each on " if count > 1 else ""
        return (
            f"{config.method.name} on {self.label}, {config.net.name} of {weights:,} weights, seed {config.seed}: "
            f"{several}{device.type}{place}, {'compiled' if method.compiled else 'not compiled'}, "
            f"{self.epochs} epochs of {self.steps} steps"
        )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.bar.set_description(f"epoch {trainer.current_epoch + 1}/{self.epochs}", refresh=False)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.bar.update(1)
        if self.estimated or batch_idx + 1 not in (FORGOTTEN, FORGOTTEN + MEASURED):
            return
        synchronize(pl_module.device)
        if batch_idx + 1 == FORGOTTEN:
            self.clock = time.perf_counter()
        elif self.clock is not None:
            left = (self.epochs - trainer.current_epoch) * self.steps - batch_idx - 1
            self._say(self._estimate((time.perf_counter() - self.clock) / MEASURED, left))
            self.estimated = True

    def _estimate(self, seconds: float, steps: int) -> str:
        """How long the steps that are left take, `seconds` each."""
        text = f"{1000 * seconds:.3g} ms a step: about {duration(seconds * steps)} of training left"
        small = f"{self.run.config.dataset.name}_small"
        if self.on_cpu and seconds * steps > LONG and (ROOT / "configs" / "experiment" / f"{small}.yaml").exists():
            text += f" (+experiment={small} is a setting for a processor)"
        return text

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if not trainer.is_last_batch:  # a callback stopped in the midst of the epoch
            return
        row = self.history.rows[-1]
        shown = {"loss": f"{row['train_loss']:.4f}"}
        if row["val_error"] is not None:
            shown["val error"] = f"{row['val_error']:.2f}%"
        if "flip_rate" in row:
            shown["flips/step"] = f"{row['flip_rate']:.1e}"
        self.bar.set_postfix(shown)
        if not self.terminal:
            left = row["elapsed"] / row["epoch"] * (self.epochs - row["epoch"])
            text = "  ".join(f"{name} {value}" for name, value in shown.items())
            self._say(f"epoch {row['epoch']}/{self.epochs}  {text}  {duration(left)} left")

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.close()

    def _say(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()
