"""Latent weights: real values behind the binary ones, moved by the gradient of their sign and clipped."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from configs.settings import UserError, setting

from .base import Method, MethodConfig
from .binary.layers import BinaryConv2d, BinaryLinear, binary_layers, fans
from .optim.composite import parts_without_decay
from .optim.schedule import Schedule

INITS: dict[str, Callable[[Tensor], Any]] = {
    "uniform": partial(nn.init.uniform_, a=-1.0, b=1.0),
    "glorot": nn.init.xavier_uniform_,
    "glorot_normal": nn.init.xavier_normal_,
    "kaiming": nn.init.kaiming_normal_,  # N(0, 2/fan_in)
    "kaiming_out": partial(nn.init.kaiming_normal_, mode="fan_out"),  # N(0, 2/fan_out)
    "pytorch": partial(nn.init.kaiming_uniform_, a=math.sqrt(5)),  # its own for layers: U(±1/√fan_in)
    "positive": partial(nn.init.uniform_, a=0.0, b=1e-3),  # of Bi-Real Net's PyTorch code: every sign is +1
}
OPTIMIZERS = ("adam", "adamax", "sgd")
DECAYED = ("all", "weights")


@dataclass
class LatentConfig(MethodConfig):
    """What the methods with latent weights share."""

    init: str = setting(
        "uniform",
        "latent weights start from U(−1,1), as in the Torch7 code, by Glorot's, He's or PyTorch's draw, or U(0, 0.001)",
        choices=("torch7", *INITS),
    )
    clip: float | None = setting(1.0, "latent weights are clipped to ±clip after each step; null: not", above=0)
    optimizer: str = setting("adam", "what moves them", choices=OPTIMIZERS)
    center: bool = setting(
        False,
        "after each step and before clipping, subtract the mean over several input channels",
    )
    glorot_scale: bool = setting(False, "scale the latent step of each layer by 1/sqrt(1.5/(fan_in+fan_out))")
    momentum: float = setting(0.0, "momentum of sgd", low=0, below=1)
    nesterov: bool = setting(False, "Nesterov's form of it")
    adam_eps: float = setting(1e-8, "ε of Adam (1e-7 in Keras)", above=0)
    weight_decay: float = setting(0.0, "λ: λ·w is added to the gradient of w (of adam and adamax, too)", low=0)
    decayed: str = setting("all", "what it holds for: all parameters, or no biases and no batch norm", choices=DECAYED)
    warmup: int = setting(0, "epochs in which lr rises from warmup_from·lr, before its schedule begins", low=0)
    warmup_from: float = setting(0.2, "where it starts from, as a multiple of lr", low=0, high=1)


class LatentMethod(Method):
    """Latent weights W that Adam moves by the gradient of their sign: `W ← clip(W + s_l·(Adam(W, g) − W), −c, c)`.

    `s_l = 1/sqrt(1.5/(fan_in + fan_out))` with `glorot_scale`, else 1. Adam's step is linear in its rate, so the
    scale is a factor on the layer's learning rate. Of `sgd` it is s_l²: it stands for weights ±1/s_l, whose gradient is
    s_l times as large as that of ±1, and 1 is s_l times as far. `adamax` is Kingma & Ba's, with the β of
    its paper. `init=torch7`: dense weights U(−1,1), a convolution's U(±1/√fan_in), and where the last batch norm is an
    ordinary one, its γ from U(0,1). Source: Courbariaux & Hubara 2016, arXiv 1602.02830, and code.

    With `warmup` > 0 the rate is `lr·(f + (1 − f)·e/w)` in epochs e < w = min(`warmup`, E), f = `warmup_from`, and then
    goes by its schedule over the other epochs; milestones count from the run's start."""

    def initialize(self) -> None:
        self._check()
        for layer in binary_layers(self.net).values():
            if self.config.init == "torch7":
                bound = 1 / math.sqrt(fans(layer)[0]) if isinstance(layer, BinaryConv2d) else 1.0
                nn.init.uniform_(layer.weight, -bound, bound)
            else:
                INITS[self.config.init](layer.weight)
        norms = [m for m in self.net.modules() if isinstance(m, _BatchNorm)]
        if self.config.init == "torch7" and norms and norms[-1] is list(self.net.modules())[-1]:
            gamma = norms[-1].weight
            if gamma is not None and gamma.requires_grad:  # norm_affine, norm_scale
                nn.init.uniform_(gamma)

    def _check(self) -> None:
        """UserError for settings that another one makes idle."""
        c = self.config
        if c.optimizer != "sgd" and (c.momentum or c.nesterov):
            raise UserError("method.momentum and method.nesterov belong to method.optimizer=sgd")
        if c.nesterov and not c.momentum:
            raise UserError("method.nesterov=true needs method.momentum above 0")
        if c.optimizer not in OPTIMIZERS and c.weight_decay:
            raise UserError(f"method.weight_decay belongs to method.optimizer={' | '.join(OPTIMIZERS)}")

    def schedules(self) -> dict[str, Schedule]:
        return super().schedules() | {"lr": self._warmed_up(self.schedule("lr"))}

    def _warmed_up(self, rate: Schedule) -> Schedule:
        c = self.config
        share = min(c.warmup / self.epochs, 1.0)
        if not share:
            return rate

        def warmed_up(t: float) -> float:
            if t < share:
                return c.lr * (c.warmup_from + (1 - c.warmup_from) * t / share)
            return rate(t if c.lr_schedule == "milestones" else (t - share) / (1 - share) if share < 1 else 0.0)

        return warmed_up

    def optimizers_of(self, binary: list[Tensor], rest: list[Tensor]) -> Any:
        limits = {} if self.config.clip is None else {"clip": self.config.clip}
        power = 2 if self.config.optimizer == "sgd" else 1
        groups = self.groups_of_rest(rest)
        if self.config.weight_decay and self.config.decayed == "weights":
            groups = [part for group in groups for part in parts_without_decay(group)]
        for layer in binary_layers(self.net).values():
            own = limits | ({"center": True} if self.config.center and layer.weight.shape[1] > 1 else {})
            groups.append({"params": [layer.weight], "lr_scale": self.scale_of(layer) ** power, **own})
        yield self.make_optimizer(groups)

    def groups_of_rest(self, rest: list[Tensor]) -> list[dict[str, Any]]:
        """The groups of what is no binary weight."""
        return [{"params": rest, "lr_scale": 1.0}]

    def scale_of(self, layer: BinaryLinear | BinaryConv2d) -> float:
        """s_l, the factor on the layer's learning rate."""
        return 1 / math.sqrt(1.5 / sum(fans(layer))) if self.config.glorot_scale else 1.0

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        c = self.config
        if c.optimizer == "sgd":
            return torch.optim.SGD(
                groups, lr=c.lr, momentum=c.momentum, nesterov=c.nesterov, weight_decay=c.weight_decay
            )
        if c.optimizer == "adamax":
            return torch.optim.Adamax(groups, lr=c.lr, weight_decay=c.weight_decay)
        return torch.optim.Adam(groups, lr=c.lr, eps=c.adam_eps, weight_decay=c.weight_decay, fused=True)
