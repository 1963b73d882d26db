"""SignSwish: a sign whose pseudo-gradient is the derivative of a Swish made odd (BNN+, Darabi et al. 2018)."""

from typing import Any

import torch
from torch import Tensor, nn

from .sign import Quantizer, compute_dtype, sign


def sign_swish(x: Tensor, beta: Tensor | float) -> Tensor:
    """`SS_β(x) = 2σ(βx)[1 + βx(1 − σ(βx))] − 1`: odd, tends to ±1, exceeds it on the way (1.2 at βx ≈ 2.4)."""
    z = beta * x
    return 2 * z.sigmoid() * (1 + z * (-z).sigmoid()) - 1


def sign_swish_slope(z: Tensor) -> Tensor:
    """`(2 − z·tanh(z/2)) / (1 + cosh z)` at `z = βx`, finite for every finite z; β times it is SS'_β(x), x times it is
    ∂SS/∂β.

    `1/(1 + cosh z) = 2e/(1 + e)²` with `e = exp(−|z|)`, which does not overflow."""
    e = (-z.abs()).exp()
    return (2 - z * (z / 2).tanh()) * 2 * e / (1 + e).square()


class _SwishGradient(torch.autograd.Function):
    """Forward: sign. Backward: the gradient of SS_β, to x and to β."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(x, beta)
        return sign(x, dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, beta = ctx.saved_tensors
        slope = grads[0] * sign_swish_slope(beta * x)
        to_beta = (slope * x).sum().to(beta.dtype) if ctx.needs_input_grad[1] else None
        return (slope * beta).to(x.dtype), to_beta, None


class SwishSign(Quantizer):
    """`a = sign(x)` with the derivative of SS_β as its gradient; β fixed, or a parameter of the layer."""

    beta: Tensor

    def __init__(self, beta: float, learnable: bool = False) -> None:
        super().__init__()
        if learnable:
            self.beta = nn.Parameter(torch.tensor(float(beta)))
        else:
            self.register_buffer("beta", torch.tensor(float(beta)), persistent=False)

    def quantize(self, x: Tensor) -> Tensor:
        return _SwishGradient.apply(x, self.beta, compute_dtype(x))
