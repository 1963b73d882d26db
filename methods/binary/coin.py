"""Weights that are drawn: each a coin, whose probability of +1 is what is trained."""

from typing import Any

import torch
from torch import Tensor

from .sign import Quantizer, StraightThrough, compute_dtype, sign


class Drawn(Quantizer):
    """A quantizer that draws ±1 in training. In evaluation it gives the likelier sign; `drawing` makes it draw there
    as well."""

    drawing = False

    def quantize(self, x: Tensor) -> Tensor:
        if self.training:
            return self.draw_to_train(x)
        return self.draw(x) if self.drawing else sign(self.mean(x), _dtype(x))

    def draw_to_train(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def draw(self, x: Tensor) -> Tensor:
        """±1, with the mean that `mean` says."""
        noise = 2 * torch.rand(x.shape, dtype=x.dtype, device=x.device) - 1
        return -sign(noise - self.mean(x), _dtype(x))


class Coin(Drawn):
    """`w = +1` with probability p, else −1, drawn at every forward pass in training; in evaluation `sign(2p − 1)`.

    The gradient ∂L/∂w at the drawn weights reaches p unchanged."""

    def draw_to_train(self, x: Tensor) -> Tensor:
        return StraightThrough.apply(x, self.draw(x))

    def mean(self, x: Tensor) -> Tensor:
        return 2 * x - 1


class ConcreteSign(Drawn):
    """`w = tanh((λ + δ)/T)`, `δ = ½ log(u/(1 − u))`, u ~ U(0, 1): a binary concrete draw (BayesBiNN, eq. 10).

    λ is the natural parameter: `E[sign(w)] = tanh λ`, whatever T. The gradient that reaches λ is
    `s ⊙ ∂L/∂w` with `s = (1 − w² + ε)/(T (1 − tanh² λ + ε))`, the factor of the natural gradient (eq. 11), in λ's own
    dtype: precision decides where `1 − tanh² λ` is 0. Evaluation is by `sign(λ)`."""

    def __init__(self, temperature: float, eps: float) -> None:
        super().__init__()
        self.temperature, self.eps = temperature, eps

    def draw_to_train(self, x: Tensor) -> Tensor:
        tiny = torch.finfo(x.dtype).tiny
        u = torch.rand(x.shape, dtype=x.dtype, device=x.device).clamp_min(tiny)
        noise = 0.5 * (u.log() - (-u).log1p())
        return _NaturalGradient.apply(x, noise, self.temperature, self.eps).to(_dtype(x))

    def mean(self, x: Tensor) -> Tensor:
        return x.tanh()


class _NaturalGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, natural: Tensor, noise: Tensor, temperature: float, eps: float) -> Tensor:
        weight = ((natural + noise) / temperature).tanh()
        ctx.save_for_backward(natural, weight)
        ctx.temperature, ctx.eps = temperature, eps
        return weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        natural, weight = ctx.saved_tensors
        spread = 1 - natural.tanh().square() + ctx.eps
        return grads[0] * (1 - weight.square() + ctx.eps) / (ctx.temperature * spread), None, None, None


def _dtype(x: Tensor) -> torch.dtype:
    """What the layer computes in; a parameter kept in float64 is for the update's sake."""
    dtype = compute_dtype(x)
    return torch.get_default_dtype() if dtype == torch.float64 else dtype
