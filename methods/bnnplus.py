"""BNN+: SignSwish as the sign's pseudo-gradient, and a regularizer that pulls latent weights to ±α (Darabi 2018)."""

import math
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from configs.settings import UserError, setting

from .binary.layers import Parts, binary_layers
from .binary.sign import WeightSign
from .binary.swish import SwishSign
from .latent import LatentConfig, LatentMethod
from .optim.schedule import SCHEDULES, Schedule

ALPHAS = ("learned", "mean", "median")


@dataclass
class Config(LatentConfig):
    name: str = "bnnplus"
    beta: float = setting(5.0, "β of SignSwish: how steep", above=0)
    learn_beta: bool = setting(False, "learn a β in each layer")
    swish_weights: bool = setting(True, "SignSwish for weights as well; false: their gradient passes unmasked")
    regularizer: str = setting("R1", "mean|α − |W||, or R2: mean(α − |W|)²", choices=("R1", "R2"))
    strength: float = setting(1e-2, "λ: weight of the regularizer in the loss", low=0)
    strength_end: float = setting(1e-2, "its value at the end of the schedule", low=0)
    strength_schedule: str = setting("constant", "how λ goes from strength to strength_end", choices=SCHEDULES)
    learn_strength: bool = setting(False, "learn λ > 0 in each layer, from strength on (ours: see the docstring)")
    alpha: float = setting(1.0, "α, where the regularizer pulls |W| to: its start, each layer learns its own", above=0)
    alpha_from: str = setting("learned", "α of a layer: learned, or mean or median of its |W| (ours)", choices=ALPHAS)


class PulledWeightSign(WeightSign):
    """`WeightSign`, and the parameters of its layer's regularizer: α, and the logarithm of λ."""

    def __init__(self, alpha: float | None, strength: float | None) -> None:
        super().__init__()
        self.alpha, self.log_strength = _parameter(alpha), _logarithm(strength)


class PulledSwishSign(SwishSign):
    """`SwishSign`, and the same parameters."""

    def __init__(self, alpha: float | None, strength: float | None, beta: float, learn_beta: bool) -> None:
        super().__init__(beta, learn_beta)
        self.alpha, self.log_strength = _parameter(alpha), _logarithm(strength)


def _parameter(value: float | None) -> nn.Parameter | None:
    return None if value is None else nn.Parameter(torch.tensor(float(value)))


def _logarithm(value: float | None) -> nn.Parameter | None:
    return None if value is None else _parameter(math.log(value))


def alpha_of(weight: Tensor, quantizer: nn.Module, kind: str) -> Tensor:
    """α of a layer: its parameter, the mean of |W|, which makes R2 least, or the median, which makes R1 least."""
    if kind == "learned":
        return cast(Tensor, quantizer.alpha)
    size = weight.detach().abs()
    return size.mean() if kind == "mean" else size.median()


def distance_to_alpha(weight: Tensor, alpha: Tensor, kind: str) -> Tensor:
    """`R1 = mean|α − |W||` or `R2 = mean(α − |W|)²` of one layer's latent weights."""
    away = alpha - weight.abs()
    return away.abs().mean() if kind == "R1" else away.square().mean()


def distances(weights: list[Tensor], alphas: list[Tensor], kind: str) -> Tensor:
    """`R_l` of every layer."""
    return torch.stack([distance_to_alpha(w, alpha, kind) for w, alpha in zip(weights, alphas, strict=True)])


class BNNPlus(LatentMethod):
    """SignSwish pseudo-gradient, and a regularizer that pulls latent weights to a learned ±α

    Forward as in `ste`. Backward `SS'_β`, for activations and (`swish_weights`) weights; loss `L + λ Σ_l R_l`.
    That α is learned per layer and that weights have the swish too is [recalled]; that R is a mean over the layer is
    ours, and so is λ (the paper's is for a sum). A λ that is learned by descent on λR falls to 0, as R ≥ 0. So with
    `learn_strength` each layer has its own, and the loss is `L + Σ_l (λ_l R_l − log λ_l)`, least at λ_l = 1/R_l: that
    term is ours. Source: Darabi et al. 2018, arXiv 1812.11800."""

    Config = Config

    def parts(self) -> Parts:
        c = self.config

        if c.learn_strength and not c.strength:
            raise UserError("method.learn_strength=true starts from method.strength, which must be above 0")
        pulled = c.alpha if c.alpha_from == "learned" else None, c.strength if c.learn_strength else None
        weight = partial(PulledSwishSign, *pulled, c.beta, c.learn_beta)
        return Parts(
            weight if c.swish_weights else partial(PulledWeightSign, *pulled),
            partial(SwishSign, c.beta, c.learn_beta),
        )

    def initialize(self) -> None:
        super().initialize()
        if self.config.learn_strength and self.config.strength_schedule != "constant":
            raise UserError("method.strength_schedule: with method.learn_strength=true, λ is learned from its start on")
        self.distances = distances

    def schedules(self) -> dict[str, Schedule]:
        return super().schedules() | {"strength": self.schedule("strength")}

    def penalty(self) -> Tensor | None:
        c, strength = self.config, self.scheduled["strength"]
        if not strength:
            return None
        layers = binary_layers(self.net).values()
        weights = [layer.weight for layer in layers]
        alphas = [alpha_of(layer.weight, layer.quantizer, c.alpha_from) for layer in layers]
        found = self.distances(weights, alphas, c.regularizer)
        if not c.learn_strength:
            return strength * found.sum()
        logarithms = torch.stack([cast(Tensor, layer.quantizer.log_strength) for layer in layers])
        return (logarithms.exp() * found - logarithms).sum()

    def compile_training(self) -> None:
        super().compile_training()
        self.distances = torch.compile(distances, dynamic=False)
