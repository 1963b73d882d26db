"""BinaryConnect: binary weights with real activations, deterministic or stochastic (Courbariaux 2015)."""

from dataclasses import dataclass

from torch import nn

from configs.settings import UserError, setting

from .binary.layers import Parts
from .binary.scaled import WEIGHT_GRADIENTS
from .binary.sign import Activation, StochasticWeightSign
from .latent import LatentConfig, LatentMethod


@dataclass
class Config(LatentConfig):
    name: str = "binaryconnect"
    weights: str = setting(
        "deterministic",
        "sign(W) always, or drawn with P(+1) = clip((W+1)/2, 0, 1) in training and W itself in evaluation",
        choices=("deterministic", "stochastic"),
    )
    weight_gradient: str = setting("identity", "∂w/∂W of deterministic weights, as in `ste`", choices=WEIGHT_GRADIENTS)


class BinaryConnect(LatentMethod):
    """binary weights, ReLU activations; deterministic or stochastic

    The weight rule of `ste` with real activations. With `weights=stochastic` the net evaluates with the real latent
    weights, as the paper does: such a row has no binary weights, and its binarization gap tells what signs in place
    of weights and activations cost. `weight_gradient=xnor` is XNOR-Net's Binary-Weight-Network (Rastegari 2016, arXiv
    1603.05279). Source: Courbariaux, Bengio & David 2015, arXiv 1511.00363."""

    Config = Config

    def parts(self) -> Parts:
        c = self.config
        weight = WEIGHT_GRADIENTS[c.weight_gradient]
        if c.weights == "stochastic":
            if c.weight_gradient != "identity":
                raise UserError("method.weights=stochastic has the gradient method.weight_gradient=identity")
            weight = StochasticWeightSign
        return Parts(weight, lambda: Activation(nn.ReLU()))
