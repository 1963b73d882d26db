"""Batch norm whose mean and variance are those of the batches of all processes together."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .normalization import NormError


class _SumOverProcesses(torch.autograd.Function):
    """`y = Σ_r x_r` over the processes r, the same on all; `∂L/∂x = Σ_r ∂L_r/∂y`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total


class SynchronizedBatchNorm(_BatchNorm):
    """Batch norm over (batch, features) or (batch, channels, …), in training with the statistics of n values a feature
    of all processes::

        μ = Σ x/n,   v = Σ (x − μ)²/n,   y = γ (x − μ)/√(v + ε) + β

    The running variance takes v·n/(n − 1), as PyTorch's batch norm does. Processes may have batches of different sizes.
    Where no gradient is taken, each process' batch is its own: there statistics are measured anew, and all processes
    see the same examples.

    Written out here because PyTorch's SyncBatchNorm needs a GPU. Its results are the same."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected 2 axes or more, got {tuple(input.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        self._check_input_dim(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        axes, shape = (0, *range(2, x.dim())), (1, -1, *[1] * (x.dim() - 2))
        own = torch.full((1,), x.numel() // x.shape[1], dtype=wide.dtype, device=x.device)
        sums = _SumOverProcesses.apply(torch.cat((wide.sum(axes), own)))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centered = wide - mean.view(shape)
        variance = _SumOverProcesses.apply(centered.square().sum(axes)) / count
        self._run_on(mean.detach(), variance.detach() * count / (count - 1))
        y = centered * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            y = y * self.weight.view(shape)
        if self.bias is not None:
            y = y + self.bias.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _run_on(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        factor: Any = 1 / self.num_batches_tracked if self.momentum is None else self.momentum  # None: a plain average
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
        self.running_var.lerp_(variance.to(self.running_var.dtype), factor)


class SynchronizedBatchNorm1d(SynchronizedBatchNorm, nn.BatchNorm1d):
    """In the place of a `BatchNorm1d`, which it also is to whoever asks by type."""


class SynchronizedBatchNorm2d(SynchronizedBatchNorm, nn.BatchNorm2d):
    """In the place of a `BatchNorm2d`."""


TYPES: dict[type[nn.Module], type[SynchronizedBatchNorm]] = {
    nn.BatchNorm1d: SynchronizedBatchNorm1d,
    nn.BatchNorm2d: SynchronizedBatchNorm2d,
}


def synchronize(net: nn.Module) -> None:
    """Makes every batch norm of the net a synchronized one, with the parameters and buffers that it has. NormError for
    a normalization over the batch that is not PyTorch's own."""
    for name, module in net.named_modules():
        if type(module) in TYPES:
            module.__class__ = TYPES[type(module)]
        elif hasattr(module, "running_mean"):
            raise NormError(f"{name} is a {type(module).__name__}, which has no synchronized form")
