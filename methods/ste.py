"""BinaryNet (BNN): binary weights and activations, trained by the straight-through estimator."""

from dataclasses import dataclass

from configs.settings import UserError, setting

from .binary.layers import Parts
from .binary.sign import ActivationSign, Quantizer, StochasticActivationSign, WeightSign
from .latent import LatentConfig, LatentMethod

GRADIENTS: dict[str, type[Quantizer]] = {"identity": WeightSign, "hardtanh": ActivationSign}


@dataclass
class Config(LatentConfig):
    name: str = "ste"
    activation: str = setting(
        "deterministic", "hidden sign in training; evaluation is deterministic", choices=("deterministic", "stochastic")
    )
    weight_gradient: str = setting("identity", "∂w/∂W: 1, or 1{|W| ≤ 1}", choices=GRADIENTS)
    activation_gradient: str = setting("hardtanh", "∂a/∂x: 1{|x| ≤ 1}, or 1", choices=GRADIENTS)


class STE(LatentMethod):
    """BinaryNet: binary weights and activations, straight-through estimator on latent weights

    Forward `w = sign(W)`, `a = sign(BN(x))`; backward unmasked to W, and where |x| ≤ 1 to x (`weight_gradient` and
    `activation_gradient` give either the other's). Defaults: Adam 0.01 with
    cosine and cross-entropy; the published settings (squared hinge, Glorot-scaled steps, exponential rate) are the
    presets `+experiment=binarynet_mnist | binarynet_cifar10 | binarynet_svhn`."""

    Config = Config

    def parts(self) -> Parts:
        c = self.config
        activation = GRADIENTS[c.activation_gradient]
        if c.activation == "stochastic":
            if c.activation_gradient != "hardtanh":
                raise UserError("method.activation=stochastic has the gradient method.activation_gradient=hardtanh")
            activation = StochasticActivationSign
        return Parts(GRADIENTS[c.weight_gradient], activation)
