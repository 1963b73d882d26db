"""Gradients of the weights of nets that scale their signs, `w = α_c·sign(W)`, `α_c = mean_c|W|` of each filter c.

Where batch norm follows the layer, as in all published nets, a scale α_c > 0 changes neither the layer's normalized
output nor the loss (but for batch norm's ε). So these quantizers return sign(W), and the net deploys as any other. What
is left of α is in the gradient. With `g = ∂L/∂sign(W)` and n weights in a filter, `∂L/∂(α_c·sign(W)) = g/α_c`; the
functions below are the sources' formulas with that put in.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .centred import filter_mean
from .sign import PSEUDO_GRADIENTS, Quantizer, compute_dtype, sign


def _alpha(latent: Tensor) -> Tensor:
    return filter_mean(latent.abs())


def _over(value: Tensor | float, divisor: Tensor) -> Tensor:
    """The quotient; 0 where the divisor is: a filter whose weights are all 0 has no scale."""
    return torch.where(divisor > 0, value / torch.where(divisor > 0, divisor, 1.0), 0.0)


def xnor_gradient(latent: Tensor, g: Tensor) -> Tensor:
    """XNOR-Net's: `g_W = g/α_c · (1/n + α_c·1{|W| < 1})`. Source: Rastegari et al. 2016, arXiv 1603.05279, eq. 11 and
    code. The code multiplies it by n(1 − 1/channels) in each layer, which Adam undoes."""
    size = latent[0].numel()
    return g * ((latent.abs() < 1) + _over(1.0, size * _alpha(latent)))


def exact_gradient(latent: Tensor, g: Tensor) -> Tensor:
    """The derivative of α_c·sign(W) with that of the sign replaced by 1{|W| < 1}:
    `g_W = 1{|W| < 1}·g + sign(W)/n · Σ_c g·sign(W)/α_c`.

    Behind the layer batch norm makes the sum 0 (but for its ε), and this is `hardtanh`. Source: README of
    jiecaoyu/XNOR-Net-PyTorch."""
    signs = sign(latent)
    return (latent.abs() < 1) * g + signs * _over(filter_mean(g * signs), _alpha(latent))


def omitted_gradient(latent: Tensor, g: Tensor) -> Tensor:
    """Of Bi-Real Net's PyTorch code, which leaves α_c out of the derivative: `g_W = 1{|W| ≤ 1}·g/α_c`. Filters of small
    weights move more. With α_c in it, as in the paper [recalled] and in larq, it is `hardtanh`."""
    return _over((latent.abs() <= 1) * g, _alpha(latent))


class _LatentGradient(torch.autograd.Function):
    """Forward: sign. Backward: `gradient(W, ∂L/∂w)`."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, gradient: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(latent)
        ctx.gradient = gradient
        return sign(latent, dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (latent,) = ctx.saved_tensors
        return ctx.gradient(latent, grads[0].to(latent.dtype)), None, None


class XNORWeightSign(Quantizer):
    """`w = sign(W)` with `xnor_gradient`."""

    def quantize(self, x: Tensor) -> Tensor:
        return _LatentGradient.apply(x, xnor_gradient, compute_dtype(x))


class ExactScaleWeightSign(Quantizer):
    """`w = sign(W)` with `exact_gradient`."""

    def quantize(self, x: Tensor) -> Tensor:
        return _LatentGradient.apply(x, exact_gradient, compute_dtype(x))


class OmittedScaleWeightSign(Quantizer):
    """`w = sign(W)` with `omitted_gradient`."""

    def quantize(self, x: Tensor) -> Tensor:
        return _LatentGradient.apply(x, omitted_gradient, compute_dtype(x))


WEIGHT_GRADIENTS: dict[str, type[Quantizer]] = PSEUDO_GRADIENTS | {
    "xnor": XNORWeightSign,
    "xnor_exact": ExactScaleWeightSign,
    "birealnet": OmittedScaleWeightSign,
}
