"""Normalizations beside PyTorch's: batch norm with other running statistics, and layer norm over the channels."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

KINDS = ("batch", "layer")
RUNNING = ("variance", "std", "inverse_std")


class NormError(ValueError):
    """A normalization that these parts do not have."""


@dataclass(frozen=True)
class NormSettings:
    """What a net asks of one of its normalizations. None: what the parts have by default.

    kind: batch norm, or layer norm over the channels. eps: ε. factor: weight of a new batch in the running statistics
    (PyTorch's `momentum`). scale, shift: whether γ and β are learned; else they stay 1 and 0. running: the statistic of
    the spread that runs on, see `RunningBatchNorm`."""

    kind: str = "batch"
    eps: float | None = None
    factor: float | None = None
    scale: bool = True
    shift: bool = True
    running: str = "variance"


class RunningBatchNorm(_BatchNorm):
    """Batch norm whose running statistic of the spread is that of the Theano codes; in training, over a batch with
    mean μ and variance v (divisor N), per feature, with f = `momentum`::

        inverse_std:  y = γ (x − μ)/√(v + ε) + β,     r ← (1 − f) r + f/√(v + ε)       evaluates with  r
        std:          y = γ (x − μ)/(√v + ε) + β,     r ← (1 − f) r + f √v             evaluates with  1/(r + ε)

    The statistic r is kept as the variance `running_var` that gives it: 1/r² − ε, or (r + ε)² − ε. So evaluation,
    `γ (x − running_mean)/√(running_var + ε) + β`, is PyTorch's own.

    Source: inverse_std is Lasagne's `BatchNormLayer`, which BinaryNet's code uses; std is BinaryConnect's
    `batch_norm.py`. PyTorch's batch norm averages the variance, with divisor N − 1."""

    dimensions: ClassVar[tuple[int, ...]] = ()

    def __init__(self, num_features: int, eps: float = 1e-4, momentum: float = 0.1, *, running: str) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.running = running

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self.dimensions:
            raise ValueError(f"expected {' or '.join(map(str, self.dimensions))} axes, got {tuple(input.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        self._check_input_dim(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(wide, (0, *range(2, x.dim())), correction=0)
        std = self.running == "std"  # its least variance keeps the root's gradient finite
        divisor = variance.clamp_min(1e-20).sqrt() + self.eps if std else (variance + self.eps).sqrt()
        self._run_on(mean.detach(), divisor.detach())
        shape = (1, -1, *[1] * (x.dim() - 2))
        scale = (self.weight / divisor).view(shape)
        return ((wide - mean.view(shape)) * scale + self.bias.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _run_on(self, mean: Tensor, divisor: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        factor: Any = 1 / self.num_batches_tracked if self.momentum is None else self.momentum  # None: a plain average
        before = (self.running_var + self.eps).sqrt()
        if self.running == "std":
            after = before + factor * (divisor - before)  # ε, which both have, is no obstacle
        else:
            after = 1 / (1 / before + factor * (1 / divisor - 1 / before))
        self.running_mean.copy_(self.running_mean + factor * (mean - self.running_mean))
        self.running_var.copy_(after.square() - self.eps)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, running={self.running}"


class RunningBatchNorm1d(RunningBatchNorm):
    """`RunningBatchNorm` over (batch, features)."""

    dimensions = (2,)


class RunningBatchNorm2d(RunningBatchNorm):
    """`RunningBatchNorm` over (batch, channels, h, w)."""

    dimensions = (4,)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each place of each example, as Keras has it for channels-last tensors:
    (batch, channels) or (batch, channels, h, w), `y = γ (x − μ)/√(v + ε) + β` with μ, v over the channels.

    It has no running statistics, and is no threshold of one channel's sum."""

    def __init__(self, num_features: int, eps: float = 1e-4, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps)
        return y.movedim(-1, 1)
