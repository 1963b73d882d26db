"""BinaryNet without multiplications in normalization and update: shift-based batch norm and shift-based AdaMax."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from configs.settings import setting

from . import ste
from .binary.layers import BinaryConv2d, BinaryLinear, Parts
from .binary.shift import STATISTICS, ShiftBatchNorm1d, ShiftBatchNorm2d, ap2_scalar
from .optim import ShiftAdaMax


@dataclass
class Config(ste.Config):
    name: str = "ste_shift"
    lr: float = setting(2**-6, "learning rate α, of all parameters", above=0)
    glorot_scale: bool = setting(True, "scale the latent step of each layer by s = 1/sqrt(1.5/(fan_in+fan_out))")
    glorot_ap2: bool = setting(True, "round that scale to a power of two")
    norm: str = setting("shift", "shift-based batch norm, or the ordinary one", choices=("shift", "batch"))
    statistic: str = setting("inverse_std", "what runs on for its evaluation", choices=STATISTICS)
    optimizer: str = setting("shift_adamax", "shift-based AdaMax, or Adam", choices=("shift_adamax", "adam"))
    write_back: bool = setting(True, "AdaMax keeps AP2(v) as its v (Torch7), or v itself (TensorFlow)")


class STEShift(ste.STE):
    """BinaryNet with shift-based batch norm and shift-based AdaMax: their factors are powers of two

    As `ste`, latent weights, sign and clipping included. `norm` and `optimizer` put the ordinary batch norm and Adam in
    their places, one at a time or both (which is `ste`). The shift-based AdaMax trains batch norm too. Source:
    Courbariaux & Hubara 2016, arXiv 1602.02830, alg. 3 and 4; its Torch7 code, whose settings are the presets
    `+experiment=binarynet_torch7_mnist | …_cifar10 | …_svhn`, has an ordinary batch norm after the last layer."""

    Config = Config

    def parts(self) -> Parts:
        parts = super().parts()
        if self.config.norm == "batch":
            return parts
        options = parts.norm_options | {"eps": 1e-5, "statistic": self.config.statistic}
        return replace(parts, norm1d_type=ShiftBatchNorm1d, norm2d_type=ShiftBatchNorm2d, norm_options=options)

    def scale_of(self, layer: BinaryLinear | BinaryConv2d) -> float:
        scale = super().scale_of(layer)
        return ap2_scalar(scale) if self.config.glorot_ap2 else scale

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        c = self.config
        if c.optimizer == "adam":
            return super().make_optimizer(groups)
        # check_finite: as in Bop
        return ShiftAdaMax(groups, c.lr, write_back=c.write_back, compiled=self.compiled, check_finite=False)
