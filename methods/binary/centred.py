"""Weights whose sign is taken after the mean of their filter is subtracted (IR-Net, ReCU)."""

import torch
from torch import Tensor

from .sign import Quantizer


def within(x: Tensor) -> tuple[int, ...]:
    """The dimensions within one filter (output unit) of a weight, or within one example of activations."""
    return tuple(range(1, x.dim()))


def filter_mean(x: Tensor) -> Tensor:
    """Mean over each filter, of a shape that broadcasts over x."""
    return x.mean(within(x), keepdim=True)


class CentredSign(Quantizer):
    """`w = sign(W − mean_c W)`, c a filter. A subclass says with which gradient."""

    def mean(self, x: Tensor) -> Tensor:
        return x - filter_mean(x)

    def mean_at(self, x: Tensor, index: Tensor) -> Tensor:
        means = x.mean(within(x))
        return x.take(index) - means[torch.div(index, x[0].numel(), rounding_mode="floor")]
