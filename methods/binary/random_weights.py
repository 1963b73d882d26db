"""Quantizers of weights that are random, each ±1 with a mean that is trained."""

from typing import Any

import torch
from torch import Tensor

from .sign import Quantizer, StraightThrough, compute_dtype, sign, stochastic_sign
from .weight_draws import weight_generator


class RandomWeight(Quantizer):
    """A weight that is +1 with probability `(1 + mean(x))/2`, else −1; x is what is trained.

    In training the layer computes with `in_training(x)`. In evaluation it computes with the likelier sign, or, while
    `drawing`, with a draw: another one in every pass, but where `seed` is set always the one of that seed."""

    drawing = False
    seed: int | None = None

    def quantize(self, x: Tensor) -> Tensor:
        if self.training:
            return self.in_training(x)
        return self.draw(x) if self.drawing else sign(self.mean(x), self.dtype(x))

    def in_training(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def draw(self, x: Tensor) -> Tensor:
        """±1, with the mean that `mean` says."""
        own = None if self.seed is None else torch.Generator(x.device).manual_seed(self.seed)
        generator = own or weight_generator(x.device)
        return stochastic_sign(self.mean(x), self.dtype(x), generator)


class Coin(RandomWeight):
    """x is the probability p of `w = +1`; drawn at every forward pass in training; in evaluation `sign(2p − 1)`.

    The gradient ∂L/∂w at the drawn weights reaches p unchanged."""

    def in_training(self, x: Tensor) -> Tensor:
        return StraightThrough.apply(x, self.draw(x))

    def mean(self, x: Tensor) -> Tensor:
        return 2 * x - 1


class ConcreteSign(RandomWeight):
    """`w = tanh((λ + δ)/T)`, `δ = ½ log(u/(1 − u))`, u ~ U(0, 1): a binary concrete draw (BayesBiNN, eq. 10).

    x is the natural parameter λ: `E[sign(w)] = tanh λ`, whatever T. The gradient that reaches λ is `s ⊙ ∂L/∂w` with
    `s = (1 − w² + ε)/(T (1 − tanh² λ + ε))`, the factor of the natural gradient (eq. 11), in λ's own dtype: precision
    decides where `1 − tanh² λ` is 0. Evaluation is by `sign(λ)`."""

    def __init__(self, temperature: float, eps: float) -> None:
        super().__init__()
        self.temperature, self.eps = temperature, eps

    def in_training(self, x: Tensor) -> Tensor:
        u = torch.rand(x.shape, generator=weight_generator(x.device), dtype=x.dtype, device=x.device)
        return _NaturalGradient.apply(x, u, self.temperature, self.eps).to(self.dtype(x))

    def mean(self, x: Tensor) -> Tensor:
        return x.tanh()

    def dtype(self, x: Tensor) -> torch.dtype:
        # λ is kept in float64 for its update; the layer computes in the default dtype
        dtype = compute_dtype(x)
        return torch.get_default_dtype() if dtype == torch.float64 else dtype


class _NaturalGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, natural: Tensor, uniform: Tensor, temperature: float, eps: float) -> Tensor:
        weight = relaxed_concrete(2 * natural, uniform, temperature)
        ctx.save_for_backward(natural, weight)
        ctx.temperature, ctx.eps = temperature, eps
        return weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        natural, weight = ctx.saved_tensors
        spread = 1 - natural.tanh().square() + ctx.eps
        return grads[0] * (1 - weight.square() + ctx.eps) / (ctx.temperature * spread), None, None, None


def relaxed_concrete(log_odds: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """`tanh((log(p/(1−p)) + log(u/(1−u)))/2T)`, the binary concrete variable on [−1, 1] (Maddison 2017, Jang 2017).

    Its sign is +1 with probability p, whatever the temperature T > 0. u = 0 gives −1."""
    return torch.tanh((log_odds + uniform.log() - (-uniform).log1p()) / (2 * temperature))
