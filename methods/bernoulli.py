"""The naive Bernoulli network: probabilities of ±1 weights and activations, trained, then hardened within the run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn

from configs.settings import setting

from .base import MethodConfig, Tally, refuse_epoch_end
from .binary.bernoulli import (
    CERTAIN,
    LAYER_WAYS,
    ActivationMean,
    BernoulliParts,
    WeightMean,
    uncertainty,
)
from .binary.layers import Parts, binary_layers
from .binary.norm_statistics import kept_statistics
from .binary.poisson_binomial import GRADIENTS
from .binary.sign import sign
from .optim.hardening import BINARIZE, HardeningPlan
from .optim.schedule import Schedule
from .recalibrated import RecalibratedMethod


@dataclass
class Config(MethodConfig):
    name: str = "bernoulli"
    lr: float = setting(0.1, "rate of Adam for the weights' logits θ at the start of the soft stage", above=0)
    lr_end: float = setting(0.01, "its value at the end of the soft stage", low=0)
    lr_harden: float = setting(0.05, "its value where hardening begins", above=0)
    lr_harden_end: float | None = setting(None, "its value at the end of that; null: it falls in proportion", low=0)
    norm_rate: float = setting(0.1, "batch norm's learning rate as a multiple of that of θ", above=0)
    how: str = setting("nominal", "how a layer has z, the probability of a sum ≥ 0, in training", choices=LAYER_WAYS)
    tolerance: float = setting(0.03, "how=auto: largest error of a sum that is left to the CLT", above=0)
    gradient: str = setting(
        "solve", "how=exact: ∂z by substitution, by three or five of its equations, or by autograd", choices=GRADIENTS
    )
    spread: float = setting(1.0, "how=nominal: κ, sums are taken to spread κ times as wide as fair coins", above=0)
    soft: float = setting(0.3, "share of the epochs before hardening begins", above=0, high=1)
    binarize: str = setting(
        "by_part", "hardens all weights at the end, layer by layer, parts of all or of one layer", choices=BINARIZE
    )
    activations: str = setting(
        "hard", "while weights harden: signs with σ's gradient, or σ with T annealed", choices=("hard", "annealed")
    )
    temperature: float = setting(1.0, "T of the activations σ(a/T) at the start", above=0)
    temperature_soft: float = setting(0.3, "its value at the end of the soft stage", above=0)
    temperature_hard: float | None = setting(
        None, "T of the gradient where activations are signs; null: as at the end of the soft stage", above=0
    )
    temperature_end: float = setting(0.01, "where annealed, its value as a layer's activations become signs", above=0)
    regularizer: float = setting(0.1, "λ of mean(1 − mw²) at the end of the soft stage, from 0; 0: without", low=0)
    regularizer_end: float = setting(2.0, "its value for a layer at the end of its hardening", above=0)


class Bernoulli(RecalibratedMethod):
    """naive Bernoulli net: trains probabilities of ±1 weights and activations, then hardens them to signs

    Of input and weight means a layer gives `z = P(S ≥ 0)`, or what `how` says; after batch norm `2σ(a/(T + 1e-4)) − 1`
    is the next input mean, and the last layer gives the expected sum. Weights are `mw = 2σ(θ) − 1`, θ from N(0, 1). A
    run has a soft stage, then hardens (`HardeningPlan`): the largest logits go to ±`CERTAIN`, the others are trained
    on. Loss: `L + (1/layers) Σ_l λ_l mean(1 − mw_l²)`.

    Evaluation, validation included, is always of the fully binary net: all weights and hidden activations are signs,
    and before every validation batch-norm statistics are measured for that net. So the chosen checkpoint is a binary
    one. Three columns of the curves are this method's own: `val_soft_error`, the error of the net as it trains;
    `val_weights_error`, that of the same net with signs for weights; `hardened`, the share of weights that are ±1 and
    stay so.

    Source: slides, Pavlyuchenkov 2023. Differs from them: z is computed with the nominal variance, which keeps a slope
    where all terms are nearly certain (`how=auto`, `exact`, `adaptive` and `clt` give P(S ≥ 0) itself); while weights
    harden, activations are signs with the gradient of σ(a/T) (`activations=annealed` lowers T instead); with
    `binarize=by_part`, the default, a part of every layer hardens at a time; the slides' part of one layer is
    `by_part_of_layer`. The gradient that the slides end with, by three central equations, is `how=exact
    gradient=three`."""

    Config = Config

    def parts(self) -> Parts:
        c = self.config
        ways = {"how": c.how, "tolerance": c.tolerance, "spread": c.spread, "gradient": c.gradient}
        return BernoulliParts(WeightMean, ActivationMean, **ways)

    def initialize(self) -> None:
        refuse_epoch_end(self.config)
        self.layers: Any = list(binary_layers(self.net).values())
        self.activations = [m for m in self.net.modules() if isinstance(m, ActivationMean)]
        for layer in self.layers:
            nn.init.normal_(layer.weight)
        self.moment = 0.0
        self.plan_for(epochs=100)  # until a trainer says how many there are

    def plan_for(self, epochs: int) -> None:
        self.plan = HardeningPlan(self.config.binarize, epochs, len(self.layers), self.config.soft)

    def configure_optimizers(self) -> Any:
        self.plan_for(self.trainer.max_epochs or 1)
        return super().configure_optimizers()

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        groups = [{"params": binary, "lr_scale": 1.0}, {"params": rest, "lr_scale": self.config.norm_rate}]
        yield torch.optim.Adam(groups, lr=self.config.lr, fused=True)

    def schedules(self) -> dict[str, Schedule]:
        """The rate falls from lr to lr_end in the soft stage, and from lr_harden to lr_harden_end in every span after
        it."""
        c, soft = self.config, self.schedule("lr")
        end = c.lr_harden * c.lr_end / c.lr if c.lr_harden_end is None else c.lr_harden_end
        harden = self.schedule("lr", c.lr_harden, end)

        def rate(t: float) -> float:
            moment = min(round(t * self.plan.epochs, 9), self.plan.epochs - 1e-6)
            stage = soft if moment < self.plan.soft_epochs else harden
            return stage(self.plan.stage_progress(moment))

        return {"lr": rate}

    def on_train_epoch_start(self) -> None:
        counts = [round(self.plan.hardened(i, self.current_epoch) * w.numel()) for i, w in enumerate(self._logits())]
        for logits, count in zip(self._logits(), counts, strict=True):
            harden(logits, count)
        self.measured["hardened"] = sum(counts) / sum(w.numel() for w in self._logits())

    def _logits(self) -> list[Tensor]:
        return [layer.weight for layer in self.layers]

    def set_activations(self, moment: float) -> None:
        """Temperatures of all activations, and which of them are signs, `moment` epochs after the run began."""
        c, plan = self.config, self.plan
        for i, activation in enumerate(self.activations):
            done = plan.progress(i, moment)
            hard = done == 1 or (c.activations == "hard" and moment >= plan.soft_epochs)
            T = c.temperature * (c.temperature_soft / c.temperature) ** plan.soft_progress(moment)
            if hard:
                T = c.temperature_hard or T
            else:
                T *= (c.temperature_end / c.temperature_soft) ** done
            activation.temperature.fill_(T)
            activation.hardened.fill_(hard)

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        self.moment = self.current_epoch + index / int(self.trainer.num_training_batches)
        self.set_activations(self.moment)

    def penalty(self) -> Tensor:
        """`(1/layers) Σ_l λ_l mean(1 − mw_l²)`; λ rises linearly in the soft stage, then geometrically in a span."""
        c = self.config
        total = torch.zeros((), device=self.device)
        for i, layer in enumerate(self.layers if c.regularizer else []):
            strength = c.regularizer * self.plan.soft_progress(self.moment)
            strength *= (c.regularizer_end / c.regularizer) ** self.plan.progress(i, self.moment)
            total = total + strength / len(self.layers) * uncertainty(layer.quantizer.mean(layer.weight))
        return total

    def on_validation_epoch_end(self) -> None:
        if self.trainer.state.fn != TrainerFn.FITTING:
            return
        for name, context in (("soft", self.as_trained()), ("weights", self.as_trained(weights=False))):
            tally, no_loss = Tally(), torch.zeros((), device=self.device)
            with context, self.trainer.precision_plugin.forward_context():
                self.reestimate()
                for x, y in self.trainer.val_dataloaders or []:
                    tally.add(no_loss, self.predict(x.to(self.device)), y.to(self.device))
            self.measured[f"val_{name}_error"] = tally.take()["error"]

    @contextmanager
    def as_trained(self, weights: bool = True) -> Iterator[None]:
        """Within the context, evaluation uses the layers' probabilities and the activations of the present moment of
        training, and with `weights` the weights' means. Batch-norm statistics that are set within it are restored at
        its end."""
        parts: list[Any] = [*self.layers, *self.activations, *(layer.quantizer for layer in self.layers if weights)]
        with kept_statistics(self.net):
            try:
                for part in parts:
                    part.soft = True
                yield
            finally:
                for part in parts:
                    part.soft = False


@torch.no_grad()
def harden(logits: Tensor, count: int) -> None:
    """Sets the `count` logits of largest absolute value to ±CERTAIN, keeping their signs, in place.

    tanh is flat there, so no gradient reaches them again."""
    chosen = torch.zeros(logits.numel(), dtype=torch.bool, device=logits.device)
    chosen[logits.abs().flatten().topk(count).indices] = True
    logits.copy_(torch.where(chosen.view(logits.shape), CERTAIN * sign(logits), logits))
