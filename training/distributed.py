"""Training by several processes: Lightning's DDP for batches that they share, and the check that they stay alike."""

import hashlib
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor
from torch.optim import Optimizer

from methods.optim.composite import Composite

from .errors import TrainingError
from .place import Place


class SharedBatches(DDPStrategy):
    """DDP whose gradient is that of the mean loss over the whole batch, also where processes have more or fewer of its
    examples::

        g = 1/R Σ_r ∂(R n_r/n · L_r)/∂θ,    n_r of the n examples, their mean loss L_r, R processes

    Optimizers see this g, the same bits in every process. Batch-norm buffers are not sent about, see `InStep`."""

    def __init__(self, place: Place) -> None:
        super().__init__(cluster_environment=place.environment, broadcast_buffers=False)
        self.weight = 1.0  # R n_r/n of the present step

    def backward(self, closure_loss: Tensor, optimizer: Optimizer | None, *args: Any, **kwargs: Any) -> Tensor:
        weighted = closure_loss if self.weight == 1 else closure_loss * self.weight
        return super().backward(weighted, optimizer, *args, **kwargs)


class InStep(pl.Callback):
    """Keeps the processes of a run alike, and stops the run where they are not.

    Weights and optimizer state are never sent: every process computes them, from equal starts and the same gradient.
    At the start and at the end of every epoch their hashes are compared. TrainingError, in all processes, for the first
    tensor that differs.

    Before each validation, and at the end of an epoch, floating-point buffers become the mean over the processes: the
    running statistics of batch norm, where each process has those of its own examples. So all evaluate the same net,
    and a checkpoint holds the state of each of them."""

    def __init__(self, place: Place, fingerprint: str) -> None:
        self.place, self.fingerprint = place, fingerprint

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if differs := different({"the training data": self.fingerprint}):
            raise TrainingError(f"{differs}: every machine must have the same data")
        self._compare(trainer, pl_module, "before the first step")

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        whole = trainer.datamodule.train_dataloader().whole_size(batch_idx)  # type: ignore[attr-defined]
        strategy: Any = trainer.strategy
        strategy.weight = len(batch[1]) * self.place.count / whole

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        average_buffers(pl_module.net)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        average_buffers(pl_module.net)
        self._compare(trainer, pl_module, f"after epoch {trainer.current_epoch + 1}")

    def _compare(self, trainer: pl.Trainer, pl_module: Any, when: str) -> None:
        hashes = {name: hash_of(tensor) for name, tensor in state_of(pl_module.net, trainer.optimizers[0]).items()}
        if differs := different(hashes):
            raise TrainingError(f"{differs} {when}: they no longer train the same net")


def state_of(net: torch.nn.Module, optimizer: Any) -> dict[str, Tensor]:
    """All tensors that decide how training goes on, by name: weights, buffers, and the optimizer's state."""
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    names: dict[Any, str] = {parameter: name for name, parameter in net.named_parameters()}
    optimizer = getattr(optimizer, "_optimizer", optimizer)  # Lightning may have wrapped it
    for inner in optimizer.optimizers if isinstance(optimizer, Composite) else [optimizer]:
        for parameter, state in inner.state.items():
            for key, value in state.items():
                tensors[f"optimizer.{names[parameter]}.{key}"] = torch.as_tensor(value)
    return tensors


def hash_of(tensor: Tensor) -> str:
    """Of its values, bit by bit, whatever its memory format."""
    content: Any = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
    return hashlib.sha256(content).hexdigest()


def different(own: dict[str, str]) -> str | None:
    """Compares what every process has under the same names: a text that names the first difference, the same in all
    processes, or None."""
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, own)
    for rank, other in enumerate(everyone):
        for name in [*everyone[0], *(name for name in other if name not in everyone[0])]:
            if everyone[0].get(name) != other.get(name):
                return f"processes 0 and {rank} differ in {name}"
    return None


@torch.no_grad()
def average_buffers(net: torch.nn.Module) -> None:
    """Sets each floating-point buffer to its mean over the processes. What is equal in all keeps its bits."""
    for buffer in net.buffers():
        if buffer.is_floating_point():
            first = buffer.clone()
            dist.broadcast(first, 0)
            away = buffer - first
            dist.all_reduce(away)
            buffer.copy_(first + away / dist.get_world_size())
