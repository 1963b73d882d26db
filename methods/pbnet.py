"""PBNet: a distribution over ±1 for every weight, trained through Gaussian pre-activations (Peters & Welling 2018)."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from configs.settings import UserError, setting

from .base import MethodConfig, refuse_epoch_end
from .binary.gaussian import (
    MEANS,
    SIGNS,
    BinaryActivation,
    BinaryDistribution,
    GaussianParts,
    NoValueToDropError,
)
from .binary.layers import Parts, binary_layers
from .binary.norm_statistics import restore, statistics
from .optim.schedule import Schedule
from .sampled import SampledMethod


@dataclass
class Config(MethodConfig):
    name: str = "pbnet"
    lr: float = setting(0.1, "learning rate of Adam (α) for θ and batch norm", above=0)
    sampling: bool = setting(False, "draw hidden activations (PBNet-S) instead of passing their probabilities on")
    temperature: float = setting(1.0, "T of the binary concrete draws; it changes only their gradient", above=0)
    pretrain: float = setting(
        0.15, "share of the epochs that trains the real twin, from which θ starts; 0: θ ~ U(−1,1)", low=0, below=1
    )
    pretrain_lr: float = setting(0.001, "learning rate of the real twin, constant", above=0)
    start_clip: float = setting(0.9, "θ starts from W/std(W) of the twin, clipped to ±start_clip", above=0, high=1)
    draws: int = setting(16, "nets drawn from θ whose softmax is averaged for the record's draws_error", low=1)


class PBNet(SampledMethod):
    """a distribution over ±1 for every weight, trained through Gaussian pre-activations

    Adam moves `θ = E[w]`, clipped to [−1, 1], by the gradient of the loss at the mean of the last layer's distribution
    (the paper's choice for cross-entropy). Hidden layers pass on the probabilities of their signs, or with `sampling`
    signs drawn from them; the layers are those of `binary/gaussian.py`.

    The first `pretrain` of the run's epochs train the real-valued twin, with tanh and its weights clipped to ±1, too; θ
    starts from its weights, batch norm from its γ and β, Adam from nothing. Evaluation never depends on the phase:
    weights are the mode sign(θ), activations signs, and batch norm has statistics of this binary net
    (`RecalibratedMethod`). `draws_error` is of the softmax averaged over `draws` nets drawn from θ, each with
    statistics of its own.

    Source: Peters & Welling 2018, arXiv 1809.03368. Differs from the paper: its variant with a sign at the last layer
    (per-class binary cross-entropy, .1 to .6 points better there) is not built; max-pooling comes before batch norm,
    as in all nets here; the twin counts in the budget; the rate falls by schedule, not at plateaus of the validation
    loss; it starts PBNet uniformly and PBNet-S from a twin, here both do as `pretrain` says. It finds `sampling` to be
    needed on CIFAR-10 (89 % against 75 to 80 %); in short trials on MNIST with these defaults it was worse."""

    Config = Config

    def parts(self) -> Parts:
        c = self.config
        activation = partial(BinaryActivation, c.sampling, c.temperature)
        return GaussianParts(BinaryDistribution, activation, hidden=SIGNS if c.sampling else MEANS)

    def build(self, net_config: Any, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
        try:
            net = super().build(net_config, input_shape, classes)
        except NoValueToDropError as error:
            raise UserError(f"net.dropout_hidden: {error}; set it to 0, or method.sampling=true") from error
        if not getattr(net_config, "output_norm", True):
            raise UserError("net.output_norm=false: method=pbnet has its logits from the batch norm of the last layer")
        return net

    def initialize(self) -> None:
        refuse_epoch_end(self.config)
        self.random_layers: list[Any] = list(binary_layers(self.net).values())
        if self.config.pretrain == 0:
            for layer in self.random_layers:
                nn.init.uniform_(layer.weight, -1, 1)

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        groups: list[dict[str, Any]] = [{"params": rest}, {"params": binary, "clip": 1.0}]
        yield torch.optim.Adam(groups, lr=self.config.lr, fused=True)

    # two phases: the real twin, then the distributions

    @property
    def pretraining(self) -> int:
        """How many of the run's epochs train the real twin: the share asked for, but not all of them."""
        return min(round(self.config.pretrain * self.epochs), self.epochs - 1)

    def schedules(self) -> dict[str, Schedule]:
        rate = self.schedule("lr")

        def of_phase(t: float) -> float:
            start = self.pretraining / self.epochs
            return self.config.pretrain_lr if t < start else rate((t - start) / (1 - start))

        return {"lr": of_phase}

    def on_train_epoch_start(self) -> None:
        for layer in self.random_layers:
            layer.quantizer.real = self.current_epoch < self.pretraining
        if self.config.pretrain and self.current_epoch == self.pretraining:
            self._start_from_twin()

    @torch.no_grad()
    def _start_from_twin(self) -> None:
        """`θ = clip(W/std(W), ±start_clip)` in every layer; the optimizer forgets the twin's moments."""
        bound = self.config.start_clip
        for layer in self.random_layers:
            layer.weight.copy_((layer.weight / layer.weight.std()).clamp(-bound, bound))
        for optimizer in self.trainer.optimizers[0].optimizers:  # type: ignore[attr-defined]
            optimizer.state.clear()

    # evaluation: a draw is one net for all batches, with batch-norm statistics of its own

    def prepare_draws(self) -> None:
        self.ensemble: list[tuple[int, list[Tensor]]] = []
        for seed in torch.randint(2**31, (self.config.draws,)).tolist():
            self._seed(seed)
            self.reestimate()
            self.ensemble.append((seed, [buffer.clone() for buffer in statistics(self.net)]))

    def use_draw(self, k: int) -> None:
        seed, measured = self.ensemble[k]
        self._seed(seed)
        restore(self.net, measured)

    def _seed(self, seed: int) -> None:
        for i, layer in enumerate(self.random_layers):
            layer.quantizer.seed = seed + i
