"""BinaryNet (BNN): binary weights and activations, trained by the straight-through estimator."""

from dataclasses import dataclass

from configs.settings import setting

from .binary.layers import Parts
from .binary.sign import ActivationSign, StochasticActivationSign, WeightSign
from .latent import LatentConfig, LatentMethod


@dataclass
class Config(LatentConfig):
    name: str = "ste"
    activation: str = setting(
        "deterministic", "hidden sign in training; evaluation is deterministic", choices=("deterministic", "stochastic")
    )


class STE(LatentMethod):
    """BinaryNet: binary weights and activations, straight-through estimator on latent weights

    Forward `w = sign(W)`, `a = sign(BN(x))`; backward unmasked to W, and where |x| ≤ 1 to x. Defaults: Adam 0.01 with
    cosine and cross-entropy; the published settings (squared hinge, Glorot-scaled steps, exponential rate) are the
    presets `+experiment=binarynet_mnist | binarynet_cifar10 | binarynet_svhn`."""

    Config = Config

    def parts(self) -> Parts:
        stochastic = self.config.activation == "stochastic"
        return Parts(WeightSign, StochasticActivationSign if stochastic else ActivationSign)
