"""BayesBiNN: the Bayesian learning rule over Bernoulli weights (Meng, Bachmann & Khan 2020)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from configs.settings import setting

from .base import MethodConfig
from .binary.layers import Parts, binary_layers
from .binary.random_weights import ConcreteSign
from .binary.sign import Activation, ActivationSign, Quantizer, stochastic_sign
from .optim import BayesBiNN
from .optim.schedule import SCHEDULES, Schedule
from .sampled import SampledMethod

ACTIVATIONS: dict[str, Callable[[], Quantizer]] = {"relu": lambda: Activation(nn.ReLU()), "sign": ActivationSign}


@dataclass
class Config(MethodConfig):
    name: str = "bayesbinn"
    activation: str = setting("relu", "hidden activation: the paper's real one, or ±1", choices=ACTIVATIONS)
    alpha: float = setting(1e-3, "α of the natural parameters (lr is that of batch norm)", low=0)
    alpha_end: float = setting(1e-5, "its value at the end of the schedule", low=0)
    alpha_schedule: str = setting("exponential", "how α goes from alpha to alpha_end", choices=SCHEDULES)
    momentum: float = setting(0.9, "β, of the natural gradient's moving average", low=0, below=1)
    temperature: float = setting(1e-10, "T of the binary concrete draws", above=0)
    eps: float = setting(1e-10, "ε in the natural gradient's factor s", above=0)
    init: float = setting(10.0, "natural parameters start from ±init, the sign drawn", low=0)
    prior_weight: float = setting(1.0, "ρ, weight of the divergence from the prior λ₀ = 0", low=0)
    data_scale: float = setting(1.0, "N is so many times the number of training examples", above=0)
    recalibrate: bool = setting(True, "measure batch norm's statistics anew for sign(λ) before every validation")
    float64: bool = setting(False, "keep natural parameters in float64, where 1 − tanh² λ is resolved up to |λ| = 18")
    draws: int = setting(16, "draws whose softmax is averaged for the record's draws_error", low=1)


class BayesBiNNMethod(SampledMethod):
    """Bayesian learning rule: natural-gradient descent on the Bernoulli posterior of each weight

    Relaxed draws `w = tanh((λ + δ)/T)` in training, `sign(λ)` in evaluation. The published nets have ReLU activations
    (`activation=relu`, the default), so compare their figures with those of BinaryConnect. `sign` is ours. Defaults:
    T, the start at ±10 and ρ as in the authors' runs; β and the schedule of α are ours, for short runs. Their settings
    are the presets `+experiment=bayesbinn_mnist | bayesbinn_cifar10 | bayesbinn_cifar100`: no momentum, and batch-norm
    statistics as training left them. Differs from their code: that takes μ in s from the λ of one step before, and
    evaluates with it. Source: Meng et al. 2020, arXiv 2002.10778, and its repository."""

    Config = Config
    latent: ClassVar[bool] = True

    def parts(self) -> Parts:
        c = self.config
        return Parts(lambda: ConcreteSign(c.temperature, c.eps), ACTIVATIONS[c.activation])

    def initialize(self) -> None:
        for layer in binary_layers(self.net).values():
            if self.config.float64:
                layer.weight.data = layer.weight.data.double()
            layer.weight.copy_(self.config.init * stochastic_sign(torch.zeros_like(layer.weight)))

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        c = self.config
        examples = c.data_scale * self._training_examples()
        # check_finite: as in Bop
        yield BayesBiNN(
            binary, c.alpha, c.momentum, examples, c.prior_weight, compiled=self.compiled, check_finite=False
        )
        yield torch.optim.Adam([{"params": rest}], lr=c.lr, fused=True)

    def schedules(self) -> dict[str, Schedule]:
        return {"lr": self.schedule("lr"), "alpha": self.schedule("alpha")}

    def reestimate(self) -> None:
        if self.config.recalibrate:
            super().reestimate()

    def _training_examples(self) -> int:
        loader: Any = self.trainer.train_dataloader
        return len(loader.labels if hasattr(loader, "labels") else loader.dataset)  # ours, or torch's
