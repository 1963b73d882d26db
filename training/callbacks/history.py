"""The curves of a run, one row an epoch, and the weights that validation chose."""

import math
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn

from methods.optim.composite import is_finite

from ..environment import synchronize
from ..errors import TrainingError
from ..loggers import log_row
from ..selection import lowest
from .checkpoint import cpu_copy
from .diagnostics import Diagnostics


class History(pl.Callback):
    """Collects the row of each epoch (loss, errors, rates, flips, seconds), gives it to the logger and to Lightning's
    callbacks, and keeps the weights of the chosen epoch: with `select="best"` that of the lowest validation error, with
    "last" the last one, whose weights `keep_last` is given at the end. All of it is in the checkpoint, and so is
    `made_with`: the settings and data that the run has, which a resumed run must share; and `commits`, those of the
    code of its parts, in their order.

    Lightning has the figures by their names in the row: `EarlyStopping("val_error")`, `ModelCheckpoint(monitor=…)`.

    `seconds` is the epoch's training time without validation; `elapsed` sums whole epochs over all resumed parts."""

    def __init__(
        self,
        diagnostics: Diagnostics | None,
        made_with: dict[str, Any] | None = None,
        select: str = "best",
        commit: str | None = None,
    ) -> None:
        self.made_with, self.select = made_with or {}, select
        self.commits = [commit]
        self.rows: list[dict[str, Any]] = []
        self.best_weights: dict[str, torch.Tensor] = {}
        self.diagnostics = diagnostics
        self.validation: dict[str, float | None] = {"loss": None, "error": None}  # where there is none

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.started = time.perf_counter()
        self.hyperparameters = dict(pl_module.scheduled)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            synchronize(pl_module.device)
            self.trained = time.perf_counter()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        self.validation = pl_module.tally["validation"].take()
        if not trainer.is_last_batch:
            return
        errors = [*(row["val_error"] for row in self.rows), self.validation["error"]]
        if self.select == "best" and lowest(errors) == len(self.rows):
            self.best_weights = cpu_copy(pl_module.net.state_dict())
        _tell_lightning(pl_module, {f"val_{name}": self.validation[name] for name in ("loss", "error")})

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        train = pl_module.tally["train"].take()
        if not trainer.is_last_batch:  # a callback stopped in the midst of the epoch, which is none then
            return
        epoch = trainer.current_epoch + 1
        if not math.isfinite(train["loss"]):
            raise TrainingError(f"the training loss became {train['loss']} in epoch {epoch}")
        if not is_finite(trainer.optimizers[0]):
            raise TrainingError(f"a gradient was NaN or infinite in epoch {epoch}")
        before = self.rows[-1]["elapsed"] if self.rows else 0.0
        row = {
            "epoch": epoch,
            "train_loss": train["loss"],
            "train_error": train["error"],
            "val_loss": self.validation["loss"],
            "val_error": self.validation["error"],
            **pl_module.measured,
            **self.hyperparameters,
            **(self.diagnostics.summary if self.diagnostics else {}),
            "seconds": self.trained - self.started,
            "elapsed": before + time.perf_counter() - self.started,
        }
        self.rows.append(row)
        log_row(trainer.loggers, row)
        _tell_lightning(pl_module, {k: v for k, v in row.items() if k not in ("epoch", "val_loss", "val_error")})

    def keep_last(self, net: torch.nn.Module) -> None:
        """After training: takes the weights of the last epoch, where that is the chosen one."""
        if self.select == "last":
            self.best_weights = cpu_copy(net.state_dict())

    @property
    def best_epoch(self) -> int:
        """The epoch that is chosen, counted from 1."""
        return len(self.rows) if self.select == "last" else lowest([row["val_error"] for row in self.rows]) + 1

    def curves(self) -> dict[str, list[Any]]:
        """Column name → its value in every epoch."""
        return {name: [row[name] for row in self.rows] for name in self.rows[0]}

    def state_dict(self) -> dict[str, Any]:
        kept = ("made_with", "commits", "rows", "best_weights")
        return {name: getattr(self, name) for name in kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of a run that goes on: the commit of this part is the last."""
        now = self.commits[-1]
        for name, value in state_dict.items():
            setattr(self, name, value)
        self.commits += [now] if self.commits[-1] != now else []


def _tell_lightning(pl_module: pl.LightningModule, figures: dict[str, Any]) -> None:
    """Makes figures of the epoch known to Lightning's own callbacks; loggers have them from the row."""
    for name, value in figures.items():
        if value is not None:
            pl_module.log(name, value, logger=False)
