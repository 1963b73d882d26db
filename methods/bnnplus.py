"""BNN+: SignSwish as the sign's pseudo-gradient, and a regularizer that pulls latent weights to ±α (Darabi 2018)."""

from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from configs.settings import setting

from .binary.layers import Parts, binary_layers
from .binary.sign import WeightSign
from .binary.swish import SwishSign
from .latent import LatentConfig, LatentMethod
from .optim.schedule import SCHEDULES, Schedule


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
    alpha: float = setting(1.0, "α, where the regularizer pulls |W| to: its start, each layer learns its own", above=0)


class PulledWeightSign(WeightSign):
    """`WeightSign`, and the α of its layer, a parameter that the regularizer pulls |W| to."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))


class PulledSwishSign(SwishSign):
    """`SwishSign`, and the α of its layer."""

    def __init__(self, alpha: float, beta: float, learn_beta: bool) -> None:
        super().__init__(beta, learn_beta)
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))


def distance_to_alpha(weight: Tensor, alpha: Tensor, kind: str) -> Tensor:
    """`R1 = mean|α − |W||` or `R2 = mean(α − |W|)²` of one layer's latent weights."""
    away = alpha - weight.abs()
    return away.abs().mean() if kind == "R1" else away.square().mean()


def sum_of_distances(weights: list[Tensor], alphas: list[Tensor], kind: str) -> Tensor:
    """`Σ_l R_l` over the layers."""
    distances = [distance_to_alpha(w, alpha, kind) for w, alpha in zip(weights, alphas, strict=True)]
    return torch.stack(distances).sum()


class BNNPlus(LatentMethod):
    """SignSwish pseudo-gradient, and a regularizer that pulls latent weights to a learned ±α

    Forward as in `ste`. Backward `SS'_β`, for activations and (`swish_weights`) weights; loss `L + λ Σ_l R_l`.
    That α is learned per layer and that weights have the swish too is [recalled]; that R is a mean over the layer is
    ours, and so is λ (the paper's is for a sum). Source: Darabi et al. 2018, arXiv 1812.11800."""

    Config = Config

    def parts(self) -> Parts:
        c = self.config

        weight = partial(PulledSwishSign, c.alpha, c.beta, c.learn_beta)
        return Parts(
            weight if c.swish_weights else partial(PulledWeightSign, c.alpha),
            partial(SwishSign, c.beta, c.learn_beta),
        )

    def initialize(self) -> None:
        super().initialize()
        self.distance = sum_of_distances

    def schedules(self) -> dict[str, Schedule]:
        return super().schedules() | {"strength": self.schedule("strength")}

    def penalty(self) -> Tensor | None:
        strength = self.scheduled["strength"]
        if not strength:
            return None
        layers = binary_layers(self.net).values()
        weights, alphas = [layer.weight for layer in layers], [cast(Tensor, layer.quantizer.alpha) for layer in layers]
        return strength * self.distance(weights, alphas, self.config.regularizer)

    def compile_training(self) -> None:
        super().compile_training()
        self.distance = torch.compile(sum_of_distances, dynamic=False)
