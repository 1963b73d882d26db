"""Methods that train one net and evaluate another: batch-norm statistics are measured for the evaluated one."""

from itertools import islice
from typing import Any

from pytorch_lightning.trainer.states import TrainerFn

from .base import Method
from .binary.norm_statistics import reestimate

BATCHES = 20  # enough, says Peters & Welling 2018


class RecalibratedMethod(Method):
    """Before every validation, the running statistics of batch norm are measured for the net as it is evaluated, over
    `BATCHES` training batches. They are part of the weights that validation chooses.

    Training itself does not change: batch norm uses the statistics of the batch there."""

    def on_validation_start(self) -> None:
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.reestimate()

    def on_train_epoch_end(self) -> None:
        if not self.trainer.val_dataloaders and self.current_epoch + 1 == self.epochs:
            self.reestimate()  # before the last checkpoint: a run that is killed after it does not train again

    def on_train_end(self) -> None:
        self.reestimate()  # where a callback ended training without a validation

    def reestimate(self) -> None:
        with self.trainer.precision_plugin.forward_context():
            reestimate(self.net, (x for x, _ in islice(self._training_batches(), BATCHES)))

    def _training_batches(self) -> Any:
        """The training batches in the order of epoch 0, whatever the present epoch: they depend only on the seed, and
        the order of training is left as it is. Every process has them whole, so that all measure the same."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is None:
            return self.trainer.train_dataloader
        loader = data.train_dataloader().whole()
        loader.set_epoch(0)
        return loader
