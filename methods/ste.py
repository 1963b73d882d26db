"""BinaryNet (BNN): binary weights and activations, trained by the straight-through estimator."""

from dataclasses import dataclass

from configs.settings import UserError, setting

from .binary.layers import Parts
from .binary.scaled import WEIGHT_GRADIENTS
from .binary.sign import PSEUDO_GRADIENTS, StochasticActivationSign
from .latent import LatentConfig, LatentMethod


@dataclass
class Config(LatentConfig):
    name: str = "ste"
    activation: str = setting(
        "deterministic", "hidden sign in training; evaluation is deterministic", choices=("deterministic", "stochastic")
    )
    weight_gradient: str = setting(
        "identity",
        "∂w/∂W: 1, 1{|W| ≤ 1}, a triangle, or of α·sign(W) as XNOR-Net's and Bi-Real Net's code have it",
        choices=WEIGHT_GRADIENTS,
    )
    activation_gradient: str = setting(
        "hardtanh", "∂a/∂x: 1{|x| ≤ 1}, 1, or the triangle max(0, 2 − 2|x|)", choices=PSEUDO_GRADIENTS
    )


class STE(LatentMethod):
    """BinaryNet: binary weights and activations, straight-through estimator on latent weights

    Forward `w = sign(W)`, `a = sign(BN(x))`; backward unmasked to W, and where |x| ≤ 1 to x (`weight_gradient` and
    `activation_gradient` give others). Defaults: Adam 0.01 with
    cosine and cross-entropy; the published settings (squared hinge, Glorot-scaled steps, exponential rate) are the
    presets `+experiment=binarynet_mnist | binarynet_cifar10 | binarynet_svhn`.

    `weight_gradient=xnor` is XNOR-Net (Rastegari 2016, arXiv 1603.05279): its scales α change nothing but the gradient
    where batch norm follows, see `binary/scaled.py`. `weight_gradient=hardtanh activation_gradient=approxsign` is
    Bi-Real Net (Liu 2018, arXiv 1808.00278), `weight_gradient=birealnet` as its PyTorch code has it."""

    Config = Config

    def parts(self) -> Parts:
        c = self.config
        activation = PSEUDO_GRADIENTS[c.activation_gradient]
        if c.activation == "stochastic":
            if c.activation_gradient != "hardtanh":
                raise UserError("method.activation=stochastic has the gradient method.activation_gradient=hardtanh")
            activation = StochasticActivationSign
        return Parts(WEIGHT_GRADIENTS[c.weight_gradient], activation)
