"""What every method shares: the net built from its parts, loss, error, optimizer groups and schedules.

A method says how its net is built (`parts`), where its weights start (`initialize`) and how they move (`optimizers`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from configs.settings import REQUIRED, UserError, setting

from .binary.layers import PartError, Parts, binary_layers
from .binary.normalization import NormError
from .binary.sign import Quantizer, as_signs
from .nets import NETS
from .optim.composite import Composite
from .optim.schedule import EVERY, SCHEDULES, Schedule, Scheduler, schedule


@dataclass
class MethodConfig:
    name: str = REQUIRED
    lr: float = setting(0.01, "learning rate of Adam (α)", above=0)
    lr_end: float = setting(0.0, "its value at the end of the schedule", low=0)
    lr_schedule: str = setting("cosine", "how the learning rate goes from lr to lr_end", choices=SCHEDULES)
    schedule_every: str = setting(
        "step", "schedules move at every step, or every epoch: to its start's value, or to its end's", choices=EVERY
    )
    stairs: int = setting(5, "equal stairs of the staircase schedules", low=2)
    power: float = setting(2.0, "power of the polynomial schedules", above=0)
    milestones: list[int] = setting([], "epochs, counted from 1, where the milestones schedules change", low=1)
    factors: list[float] = setting([], "value from each milestone on, as a multiple of the start", low=0)


def refuse_epoch_end(config: MethodConfig) -> None:
    """UserError, of methods with phases, for values of an epoch's end, where the next phase's begin."""
    if config.schedule_every == "epoch_end":
        raise UserError(
            f"method.schedule_every=epoch_end is not for method={config.name}: "
            "the last epoch of a phase would have the rate of the next; step or epoch"
        )


def squared_hinge(logits: Tensor, target: Tensor) -> Tensor:
    """`mean(max(0, 1 − t·y)²)` over batch × classes; t is +1 for the class of the example and −1 for the others."""
    signs = 2 * F.one_hot(target, logits.shape[1]).to(logits.dtype) - 1
    return (1 - signs * logits).clamp_min(0).square().mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "smoothed_cross_entropy": partial(F.cross_entropy, label_smoothing=0.1),
    "squared_hinge": squared_hinge,
}


class Tally:
    """Sums loss and errors over batches on the device, and is read once an epoch: no transfer per step.

    each: keep also which examples were wrong, in their order (`wrong`, bool by batch)."""

    def __init__(self, each: bool = False) -> None:
        self.each = each
        self.sums: Tensor | None = None
        self.examples = 0
        self.wrong: list[Tensor] = []

    def add(self, loss: Tensor, logits: Tensor, target: Tensor) -> None:
        wrong = logits.argmax(1) != target
        sums = torch.stack((loss.detach().float() * len(target), wrong.sum().float()))
        self.sums = sums if self.sums is None else self.sums + sums
        self.examples += len(target)
        if self.each:
            self.wrong.append(wrong)

    def take(self) -> dict[str, float]:
        """Mean loss, error in % and number of examples since the last take, of all processes that train together."""
        if self.sums is None:
            raise UserError("no example was seen: the data set is smaller than one batch")
        sums, examples = self.sums, self.examples
        if sums.device.type != "mps":  # which has no float64
            sums = sums.double()
        if dist.is_available() and dist.is_initialized():
            sums = torch.cat((sums, sums.new_tensor([examples])))
            dist.all_reduce(sums)
            sums, examples = sums[:2], int(sums[2])
        loss, wrong = (sums / examples).tolist()
        result = {"loss": loss, "error": 100 * wrong, "examples": examples}
        self.sums, self.examples, self.wrong = None, 0, []
        return result


class Method(pl.LightningModule):
    """Trains a net on batches (x, y): x real (batch, C, H, W), y class indices (batch,).

    `net_config` is the Config of one of methods/nets, `self.net` the module that is built from it and from `parts()`.

    - `latent`: the `weight` of a binary layer is a real value from which the ±1 weight is made. Diagnostics then
      measure its saturation.
    - `flips_bits`: the `weight` is ±1 and an optimizer flips it on a threshold. Diagnostics then call `flip_moment` and
      `threshold`, see `BitFlipMethod`.
    - `reconstruction`: the published source is incomplete, and the method fills it in."""

    Config: ClassVar[type[MethodConfig]]
    compiled_net: Any
    config: Any  # an instance of the method's own Config
    latent: ClassVar[bool] = True
    flips_bits: ClassVar[bool] = False
    reconstruction: ClassVar[bool] = False
    epochs = 1  # of the run, once there is one

    def __init__(
        self, config: Any, net_config: Any, input_shape: tuple[int, int, int], classes: int, loss: str
    ) -> None:
        super().__init__()
        self.config = config
        self.net = self.build(net_config, input_shape, classes)
        self.loss = LOSSES[loss]
        self.tally = {"train": Tally(), "validation": Tally(), "test": Tally(each=True)}
        self.measured: dict[str, float] = {}  # the method's own columns of the curves, set in every epoch
        self.compiled = False
        with torch.no_grad():
            self.initialize()
        # the present value of each scheduled hyperparameter; an impossible schedule is refused before a run begins
        self.scheduled = {name: value_at(0.0) for name, value_at in self.schedules().items()}

    # what a method defines or overrides

    def parts(self) -> Parts:
        """What the net is built from: layers, quantizers, batch norm."""
        raise NotImplementedError

    def initialize(self) -> None:
        """Sets the initial weights where they are not PyTorch's own."""

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Iterable[torch.optim.Optimizer]:
        """The optimizers; `binary` are the weights of the binary layers, `rest` all other parameters (batch norm).

        Together they have every parameter of the net once. RuntimeError where they do not."""
        raise NotImplementedError

    def penalty(self) -> Tensor | None:
        """What is added to the loss in training, or None. The losses in the record do not contain it."""
        return None

    def variants(self) -> Iterator[tuple[str, AbstractContextManager[None]]]:
        """Other ways to evaluate the same weights: (name in the record, context to evaluate in)."""
        if not (self.binary_weights and self.binary_activations):
            yield "binarized", as_signs(self.net)

    def schedules(self) -> dict[str, Schedule]:
        """Hyperparameter → its function of progress. It is set in every param group that has one of that name, and
        `self.scheduled[name]` is its present value."""
        return {"lr": self.schedule("lr")}

    # what they share

    def build(self, net_config: Any, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
        try:
            net = NETS[net_config.name](net_config, self.parts(), input_shape, classes)
        except NormError as error:
            names = [name for name in ("norm", "norm_running") if hasattr(net_config, name)]
            asked = " ".join(f"net.{name}={getattr(net_config, name)}" for name in names) or f"net={net_config.name}"
            raise UserError(f"{asked} with method={self.config.name}: {error}") from error
        except PartError as error:
            raise UserError(f"net={net_config.name} with method={self.config.name}: {error}") from error
        if not binary_layers(net):
            raise UserError(f"net={net_config.name} has no layer for a method: ask parts.linear or parts.conv for one")
        return net

    def schedule(self, name: str, *ends: float) -> Schedule:
        """The schedule that the fields `name`, `name_end` and `name_schedule` of the Config describe; or of that kind,
        between other `ends`."""
        c = self.config
        kind = getattr(c, name + "_schedule")
        start, end = ends or (getattr(c, name), getattr(c, name + "_end"))
        try:
            return schedule(kind, start, end, power=c.power, stairs=c.stairs, milestones=self._milestones())
        except ValueError as error:
            raise UserError(f"method.{name}_schedule={kind}: {error}") from error

    def _milestones(self) -> list[tuple[float, float]]:
        """(progress, factor) of each milestone in a run of `self.epochs` epochs."""
        c = self.config
        if len(c.milestones) != len(c.factors):
            raise UserError(f"method.milestones={c.milestones} and method.factors={c.factors} must be equally many")
        return [((epoch - 1) / self.epochs, factor) for epoch, factor in zip(c.milestones, c.factors, strict=True)]

    def configure_optimizers(self) -> Any:
        self.epochs = self.trainer.max_epochs or 1
        steps = int(self.trainer.estimated_stepping_batches) // self.epochs  # reads the data loader first
        binary = [layer.weight for layer in binary_layers(self.net).values()]
        rest: list[Tensor] = [p for p in self.net.parameters() if not any(p is w for w in binary)]
        optimizer = Composite(self.optimizers_of(binary, rest))
        grouped = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if grouped != {id(p) for p in self.net.parameters()}:
            raise RuntimeError("some parameters of the net are in no optimizer group")
        scheduler = Scheduler(optimizer, self.schedules(), steps, self.epochs, self.config.schedule_every)
        self.scheduled = scheduler.values
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        scheduler.step()

    def compile_training(self) -> None:
        """Compiles the training pass and bit-flip optimizers; evaluation stays eager, it would not pay the wait."""
        self.compiled = True
        # not as an attribute: a module assigned to a module becomes part of its state_dict
        object.__setattr__(self, "compiled_net", torch.compile(self.net, dynamic=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def predict(self, x: Tensor) -> Tensor:
        """Logits (batch, classes) in float32, as evaluation sees them."""
        return self.net(x).float()

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, y = batch
        net = self.compiled_net if self.compiled else self.net
        logits = net(x).float()
        loss = self.loss(logits, y)
        self.tally["train"].add(loss, logits.detach(), y)
        penalty = self.penalty()
        return loss if penalty is None else loss + penalty

    def _evaluation_step(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        x, y = batch
        logits = self.predict(x)
        self.tally[split].add(self.loss(logits, y), logits, y)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self._evaluation_step(batch, "validation")

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self._evaluation_step(batch, "test")

    @property
    def binary_weights(self) -> bool:
        """Whether the net evaluates with ±1 weights in every layer."""
        return all(layer.quantizer.binary for layer in binary_layers(self.net).values())

    @property
    def binary_activations(self) -> bool:
        """Whether the net evaluates with ±1 activations in every hidden layer."""
        weights = {id(layer.quantizer) for layer in binary_layers(self.net).values()}
        return all(m.binary for m in self.net.modules() if isinstance(m, Quantizer) and id(m) not in weights)
