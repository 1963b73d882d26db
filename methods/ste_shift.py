"""BinaryNet without multiplications in normalization and update: shift-based batch norm and shift-based AdaMax."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from configs.settings import setting

from . import ste
from .binary.layers import BinaryConv2d, BinaryLinear, Parts, Role
from .binary.normalization import NormSettings
from .binary.shift import STATISTICS, ShiftBatchNorm, ShiftBatchNorm1d, ShiftBatchNorm2d, ap2_scalar
from .latent import OPTIMIZERS
from .optim import ShiftAdaMax

BETAS = {"code": (0.9, 0.999), "paper": (1 - 2**-3, 1 - 2**-10)}


@dataclass
class Config(ste.Config):
    name: str = "ste_shift"
    lr: float = setting(2**-6, "learning rate α, of all parameters", above=0)
    glorot_scale: bool = setting(True, "scale the latent step of each layer by s = 1/sqrt(1.5/(fan_in+fan_out))")
    glorot_ap2: bool = setting(True, "round that scale to a power of two")
    norm: str = setting("shift", "shift-based batch norm, or the ordinary one", choices=("shift", "batch"))
    statistic: str = setting("inverse_std", "what runs on for its evaluation", choices=STATISTICS)
    norm_output: str = setting("shift", "the same for the batch norm of the last layer", choices=("shift", "batch"))
    optimizer: str = setting("shift_adamax", "shift-based AdaMax, or another", choices=("shift_adamax", *OPTIMIZERS))
    betas: str = setting("code", "(β₁, β₂) of shift-based AdaMax: (.9, .999), or (1−2⁻³, 1−2⁻¹⁰)", choices=BETAS)
    glorot_norm: bool = setting(False, "scale the step of batch norm's γ of n features by 1/sqrt(1.5/n)")
    clip_norm: bool = setting(False, "clip γ and β of batch norm to ±clip, as the weights")
    write_back: bool = setting(True, "AdaMax keeps AP2(v) as its v (Torch7), or v itself (TensorFlow)")


@dataclass(frozen=True)
class ShiftParts(Parts):
    """Parts with shift-based batch norm of the running `statistic`, behind the last layer only where `at_output`."""

    statistic: str = "inverse_std"
    at_output: bool = True
    norm1d_type: Callable[..., nn.Module] = ShiftBatchNorm1d
    norm2d_type: Callable[..., nn.Module] = ShiftBatchNorm2d
    norm_options: dict[str, Any] = field(default_factory=lambda: {"eps": 1e-5, "momentum": 0.1})

    def norm(self, kind: Callable[..., nn.Module], role: Role, features: int, settings: NormSettings) -> nn.Module:
        if role == "output" and not self.at_output:
            return super().norm(nn.BatchNorm1d, role, features, settings)
        return super().norm(partial(kind, statistic=self.statistic), role, features, settings)


class STEShift(ste.STE):
    """BinaryNet with shift-based batch norm and shift-based AdaMax: their factors are powers of two

    As `ste`, latent weights, sign and clipping included. `norm` and `optimizer` put the ordinary batch norm and Adam in
    their places, one at a time or both (which is `ste`, with `glorot_ap2=false`); `optimizer=adamax` is AdaMax without
    shifts. The shift-based AdaMax trains batch norm too. Source: Courbariaux & Hubara 2016, arXiv 1602.02830, alg. 3
    and 4; its Torch7 code, whose settings are the presets `+experiment=binarynet_torch7_mnist | …_cifar10 | …_svhn`,
    has an ordinary batch norm after the last layer (`norm_output=batch`)."""

    Config = Config

    def parts(self) -> Parts:
        parts = super().parts()
        if self.config.norm == "batch":
            return parts
        c = self.config
        return ShiftParts(parts.weight, parts.activation, statistic=c.statistic, at_output=c.norm_output == "shift")

    def scale_of(self, layer: BinaryLinear | BinaryConv2d) -> float:
        scale = super().scale_of(layer)
        return ap2_scalar(scale) if self.config.glorot_ap2 else scale

    def groups_of_rest(self, rest: list[Tensor]) -> list[dict[str, Any]]:
        c = self.config
        norms = [m for m in self.net.modules() if isinstance(m, ShiftBatchNorm | _BatchNorm)]
        gammas = {id(norm.weight): norm.weight for norm in norms if c.glorot_norm}
        groups: list[dict[str, Any]] = [{"params": [p for p in rest if id(p) not in gammas], "lr_scale": 1.0}]
        groups += [{"params": [w], "lr_scale": 1 / math.sqrt(1.5 / w.numel())} for w in gammas.values()]
        return [group | ({"clip": c.clip} if c.clip_norm and c.clip else {}) for group in groups]

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        c = self.config
        if c.optimizer != "shift_adamax":
            return super().make_optimizer(groups)
        # check_finite: as in Bop
        betas = BETAS[c.betas]
        return ShiftAdaMax(groups, c.lr, betas, write_back=c.write_back, compiled=self.compiled, check_finite=False)
