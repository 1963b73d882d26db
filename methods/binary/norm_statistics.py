"""Running statistics of a net's batch norms: kept, restored, and measured again for a net that changed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def statistics(net: nn.Module) -> list[Tensor]:
    """The buffers of every batch norm (running mean, variance, count): the tensors themselves, not copies."""
    return [buffer for m in net.modules() if isinstance(m, _BatchNorm) for buffer in m.buffers()]


@torch.no_grad()
def restore(net: nn.Module, kept: list[Tensor]) -> None:
    """Copies the values `kept`, in the order of `statistics(net)`, into the net."""
    for buffer, before in zip(statistics(net), kept, strict=True):
        buffer.copy_(before)


@contextmanager
def kept_statistics(net: nn.Module) -> Iterator[None]:
    """At the end of the context the statistics are what they were at its start."""
    kept = [buffer.clone() for buffer in statistics(net)]
    try:
        yield
    finally:
        restore(net, kept)


@torch.no_grad()
def reestimate(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the running mean and variance of every batch norm to the average over `batches` (of two examples or more)
    of the mean and the unbiased variance that it sees in each, all other layers being as in evaluation."""
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    momentum = [norm.momentum for norm in norms]
    training = net.training
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
    for x in batches:
        net(x)
    net.train(training)
    for norm, value in zip(norms, momentum, strict=True):
        norm.momentum = value
