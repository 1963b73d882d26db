"""BinaryConnect: binary weights with real activations, deterministic or stochastic (Courbariaux 2015)."""

from dataclasses import dataclass

from torch import nn

from configs.settings import setting

from .binary.layers import Parts
from .binary.sign import Activation, StochasticWeightSign, WeightSign
from .latent import LatentConfig, LatentMethod


@dataclass
class Config(LatentConfig):
    name: str = "binaryconnect"
    weights: str = setting(
        "deterministic",
        "sign(W) always, or drawn with P(+1) = clip((W+1)/2, 0, 1) in training and W itself in evaluation",
        choices=("deterministic", "stochastic"),
    )


class BinaryConnect(LatentMethod):
    """binary weights, ReLU activations; deterministic or stochastic

    The weight rule of `ste` with real activations. With `weights=stochastic` the net evaluates with the real latent
    weights, as the paper does: such a row has no binary weights, and its binarization gap tells what their sign
    costs. Source: Courbariaux, Bengio & David 2015, arXiv 1511.00363."""

    Config = Config

    def parts(self) -> Parts:
        stochastic = self.config.weights == "stochastic"
        return Parts(StochasticWeightSign if stochastic else WeightSign, lambda: Activation(nn.ReLU()))
