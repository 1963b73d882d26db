"""Bop: an optimizer flips ±1 weights where the gradient's moving average passes a threshold; no latent weights."""

from dataclasses import dataclass

from torch import Tensor

from .bitflip import BitFlipConfig, BitFlipMethod
from .optim import Bop


@dataclass
class Config(BitFlipConfig):
    name: str = "bop"


class BopMethod(BitFlipMethod):
    """flips ±1 weights on a threshold of the gradient's moving average; no latent weights

    `m ← (1−γ)m + γg`, flip where `w·m > τ`. τ is not scale-free: the record's `blocked` says how much it holds back.
    Defaults: γ and τ of the paper's CIFAR-10 setting, whose schedules are the preset `+experiment=bop_cifar10`.
    Source: Helwegen et al. 2019, arXiv 1906.02107."""

    Config = Config

    def make_flipper(self, binary: list[Tensor]) -> Bop:
        c = self.config
        # History looks at the moments once an epoch, which costs less than every gradient in every step
        return Bop(binary, gamma=c.gamma, threshold=c.threshold, compiled=self.compiled, check_finite=False)
