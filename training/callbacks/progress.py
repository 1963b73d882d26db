"""The progress bar: epoch, loss, validation error, flip rate and time left for the whole run, not for one epoch."""

import sys
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from .history import History


class Progress(pl.callbacks.ProgressBar):
    """One bar over all steps of the run. Where standard error is no terminal it prints a line an epoch instead."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self.history = history

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.epochs, self.steps = trainer.max_epochs or 1, int(trainer.num_training_batches)
        self.terminal = sys.stderr.isatty()
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

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.bar.set_description(f"epoch {trainer.current_epoch + 1}/{self.epochs}", refresh=False)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.bar.update(1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        row = self.history.rows[-1]
        shown = {"loss": f"{row['train_loss']:.4f}", "val error": f"{row['val_error']:.2f}%"}
        if "flip_rate" in row:
            shown["flips/step"] = f"{row['flip_rate']:.1e}"
        self.bar.set_postfix(shown)
        if not self.terminal:
            left = row["elapsed"] / row["epoch"] * (self.epochs - row["epoch"])
            text = "  ".join(f"{name} {value}" for name, value in shown.items())
            print(f"epoch {row['epoch']}/{self.epochs}  {text}  {left:.0f} s left", file=sys.stderr, flush=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.close()
