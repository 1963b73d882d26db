"""Sign functions and their pseudo-gradients. Many of the methods differ only in what they take for `∂sign(x)/∂x`.

`sign(0) = +1` everywhere (−0.0 too), defined once, here. Each quantizer is a module, so that it can have parameters and
behave differently in training and evaluation; every layer of a net has its own. All of them return ±1 in the dtype that
the layer computes in: under bf16 autocast a sign is made in bf16, where ±1 is exact, and no float copy is made.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .weight_draws import weight_generator


def sign(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """`+1` where `x ≥ 0`, `−1` elsewhere (NaN gives −1), shape and memory format of x, in `dtype` (default: x's)."""
    x = x.detach()
    return _plus_minus(torch.ge(x, 0, out=torch.empty_like(x)), dtype or x.dtype)


def stochastic_sign(x: Tensor, dtype: torch.dtype | None = None, generator: torch.Generator | None = None) -> Tensor:
    """`+1` with probability `σ(x) = clip((x+1)/2, 0, 1)`, else `−1` (hard sigmoid; Courbariaux 2015, eq. 2).

    Random numbers are the `generator`'s (default: torch's own for the device)."""
    # drawn in float32 whatever x is: the 8 bits of a bfloat16 draw would shift the probability by up to 1/256
    noise = torch.rand(x.shape, generator=generator, device=x.device).mul_(2).sub_(1)
    x = x.detach()
    return _plus_minus(torch.lt(noise, x, out=torch.empty_like(x)), dtype or x.dtype)


def _plus_minus(chosen: Tensor, dtype: torch.dtype) -> Tensor:
    """`+1` where `chosen` is 1, `−1` where it is 0. `chosen` may be overwritten.

    Comparisons come here as numbers, not as bools: a pass over a bool mask is the slowest part of a sign on a CPU."""
    return torch.threshold_(chosen.to(dtype), 0, -1)


def compute_dtype(x: Tensor) -> torch.dtype:
    """The dtype that a matrix product of `x` will run in: autocast's where it is on, else x's own."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class StraightThrough(torch.autograd.Function):
    """Forward: `w`, however it was made from W. Backward: `∂L/∂W = ∂L/∂w`, unmasked."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, weight: Tensor) -> Tensor:
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class SlopeGradient(torch.autograd.Function):
    """Forward: sign. Backward: `∂L/∂x = ∂L/∂a · slope(x, parameter)`, elementwise.

    `parameter` is a 0-dimensional tensor without a gradient of its own, or None. (For every new Python number, a
    compiled net would be compiled anew.)"""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, parameter: Tensor | None, slope: Callable[[Tensor, Any], Tensor], dtype: torch.dtype
    ) -> Tensor:
        ctx.save_for_backward(x, parameter)
        ctx.slope = slope
        return sign(x, dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        x, parameter = ctx.saved_tensors
        return (grads[0] * ctx.slope(x, parameter)).to(x.dtype), None, None, None


class _HardTanhGradient(torch.autograd.Function):
    """Forward: (stochastic) sign. Backward: the gradient of hard tanh, `∂L/∂x = ∂L/∂a · 1{|x| ≤ 1}` (NaN passes it)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype, stochastic: bool) -> Tensor:
        ctx.save_for_backward(x)
        return stochastic_sign(x, dtype) if stochastic else sign(x, dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        beyond = 1 + torch.finfo(x.dtype).eps  # the next number after 1: torch's hard tanh is flat at ±1 itself
        return torch.ops.aten.hardtanh_backward(grads[0], x, -beyond, beyond), None, None


class Quantizer(nn.Module):
    """Maps latent weights or pre-activations to what the layer computes with.

    `binary` says whether its result is ±1 in evaluation. `hard`, set by `as_signs`, makes any quantizer a plain sign;
    so the accuracy of the fully binarized net is measured for methods that do not train it."""

    binary = True
    hard = False

    def forward(self, x: Tensor) -> Tensor:
        return sign(self.mean(x), self.dtype(x)) if self.hard else self.quantize(x)

    def dtype(self, x: Tensor) -> torch.dtype:
        """In which the layer computes."""
        return compute_dtype(x)

    def quantize(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def mean(self, x: Tensor) -> Tensor:
        """Elementwise, what `x` says of the weight on the scale of [−1, 1]; its sign is the weight. Here x itself."""
        return x

    def mean_at(self, x: Tensor, index: Tensor) -> Tensor:
        """`mean(x)` at the positions `index` of the flattened x."""
        return self.mean(x.take(index))


class WeightSign(Quantizer):
    """`w = sign(W)`; the gradient passes unmasked to W (BinaryNet, arXiv 1602.02830, alg. 1)."""

    def quantize(self, x: Tensor) -> Tensor:
        return StraightThrough.apply(x, sign(x, compute_dtype(x)))


class StochasticWeightSign(Quantizer):
    """In training `P(w=+1) = clip((W+1)/2, 0, 1)`, drawn at every forward pass; in evaluation W itself, real-valued
    (BinaryConnect 2015, section 2.6, third method). The gradient passes unmasked to W."""

    binary = False

    def quantize(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return StraightThrough.apply(x, stochastic_sign(x, compute_dtype(x), weight_generator(x.device)))


class ActivationSign(Quantizer):
    """`a = sign(x)`; the gradient passes where `|x| ≤ 1` (hard tanh) and is 0 elsewhere (BinaryNet, eq. 4)."""

    def quantize(self, x: Tensor) -> Tensor:
        return _HardTanhGradient.apply(x, compute_dtype(x), False)


def approx_sign_slope(x: Tensor, _: None = None) -> Tensor:
    """`max(0, 2 − 2|x|)`: the derivative of Bi-Real Net's ApproxSign, 2x − x|x| within ±1."""
    return (2 - 2 * x.abs()).clamp_min(0)


class ApproxSign(Quantizer):
    """`a = sign(x)` with a triangle as its gradient, `max(0, 2 − 2|x|)` (Bi-Real Net 2018, arXiv 1808.00278)."""

    def quantize(self, x: Tensor) -> Tensor:
        return SlopeGradient.apply(x, None, approx_sign_slope, compute_dtype(x))


class StochasticActivationSign(Quantizer):
    """In training `P(a=+1) = clip((x+1)/2, 0, 1)`, in evaluation `sign(x)`; hard-tanh gradient (BinaryNet, eq. 2)."""

    def quantize(self, x: Tensor) -> Tensor:
        return _HardTanhGradient.apply(x, compute_dtype(x), self.training)


class Identity(Quantizer):
    """`w = W`: real-valued weights, and ±1 weights that an optimizer keeps binary without a latent weight."""

    def __init__(self, binary: bool = False) -> None:
        super().__init__()
        self.binary = binary

    def quantize(self, x: Tensor) -> Tensor:
        return x


class Activation(Quantizer):
    """A real activation function (ReLU, tanh, hard tanh), for nets that binarize only their weights, or nothing."""

    binary = False

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function

    def quantize(self, x: Tensor) -> Tensor:
        return self.function(x)


# what passes for ∂sign(x)/∂x: 1, the derivative of hard tanh 1{|x| ≤ 1}, or a triangle
PSEUDO_GRADIENTS: dict[str, type[Quantizer]] = {
    "identity": WeightSign,
    "hardtanh": ActivationSign,
    "approxsign": ApproxSign,
}


@contextmanager
def as_signs(net: nn.Module) -> Iterator[None]:
    """Within the context every quantizer of `net` is a plain sign: all weights ±1, all hidden activations ±1."""
    quantizers = [m for m in net.modules() if isinstance(m, Quantizer)]
    try:
        for quantizer in quantizers:
            quantizer.hard = True
        yield
    finally:
        for quantizer in quantizers:
            quantizer.hard = False
