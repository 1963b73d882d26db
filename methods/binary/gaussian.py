"""Layers on distributions: binary random weights, Gaussian pre-activations, probabilities of the sign (PBNet).

A weight is `w ~ Binary(θ)`, ±1 with mean `θ ∈ [−1, 1]`. By the central limit theorem a sum of many of them is nearly
normal, so that a linear layer gives a mean and a variance for every pre-activation (`Gaussian`), batch norm and
max-pooling carry the pair on, and the sign makes of it the probability of +1, which has a gradient where the sign has
none. Source: Peters & Welling 2018, arXiv 1809.03368, algorithm 1. In evaluation all of these are the ordinary layers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import BinaryConv2d, BinaryLinear, PartError, Parts, Role
from .normalization import NormSettings
from .random_weights import RandomWeight, relaxed_concrete
from .sign import Quantizer, StraightThrough, compute_dtype, sign

VARIANCE_FLOOR = 1e-6  # added to s², so that a pre-activation that is certain has a slope too
CERTAIN = 12.0  # deviations from the threshold: Φ(−12) = 2e-33, and no float32 draw tells more from this

# What the input h of a layer with random weights is.
VALUES = "values"  # known real values, as those of the first layer
SIGNS = "signs"  # known values, each −1 or +1
MEANS = "means"  # the means φ of independent random signs


class Gaussian(NamedTuple):
    """Independent normal values: `mean` μ and `variance` s² ≥ 0, of one shape."""

    mean: Tensor
    variance: Tensor

    def deviation(self) -> Tensor:
        """`√(s² + floor)`."""
        return (self.variance + VARIANCE_FLOOR).sqrt()

    def draw(self) -> Tensor:
        """`μ + s·n`, n ~ N(0, 1): the local reparametrization, one draw a value."""
        return self.mean + self.deviation() * torch.randn_like(self.mean)


def moments(f: Callable[[Tensor, Tensor], Tensor], theta: Tensor, h: Tensor, kind: str) -> Gaussian:
    """Mean and variance of `f(h, w)`, w ~ Binary(θ), f bilinear in input and weight; all w and h independent.

    `μ = f(h, θ)`, and with `kind`

    | h | s² | |
    |---|---|---|
    | VALUES | `f(h², 1 − θ²)` | |
    | SIGNS | `f(1, 1 − θ²)` | the same, as h² = 1; it is one number for all examples |
    | MEANS | `f(1, 1 − θ²) + f(1 − h², θ²)` | the paper's `D − f(h², θ²)` |

    All terms of these sums are ≥ 0, so no digits cancel where nearly all weights are certain, not even in bfloat16.
    Where a convolution pads, f leaves out the taps on zeros, so D counts the taps inside the image only. Differs from
    the paper: with SIGNS no gradient flows through h², which is constant."""
    mean, spread = f(h, theta), 1 - theta.square()
    if kind == VALUES:
        variance = f(h.square(), spread)
    else:
        variance = f(torch.ones_like(h[:1]), spread)
        if kind == MEANS:
            variance = variance + f(1 - h.square(), theta.square())
    wide = theta.dtype  # autocast rounds a product's result, and nothing after it
    return Gaussian(mean.to(wide), variance.to(wide).expand_as(mean))


class BinaryDistribution(RandomWeight):
    """`w ~ Binary(θ)`: +1 with probability (1 + θ)/2, else −1; x is θ, the mean.

    In training layers use mean and variance, or, while `real`, x itself as a real-valued weight."""

    real = False

    @property
    def random(self) -> bool:
        """Whether the layer is to give a distribution."""
        return self.training and not self.real and not self.hard

    def in_training(self, x: Tensor) -> Tensor:
        return x


class GaussianLinear(BinaryLinear):
    """`a = h · wᵀ`, (batch, in) → (batch, out): while the weights are random a `Gaussian`, else the binary layer's.

    `input` says what h is: VALUES, SIGNS or MEANS."""

    quantizer: BinaryDistribution

    def __init__(self, in_features: int, out_features: int, quantizer: BinaryDistribution, input: str = VALUES) -> None:
        super().__init__(in_features, out_features, quantizer)
        self.input = input

    def forward(self, x: Tensor) -> Any:
        return moments(F.linear, self.weight, x, self.input) if self.quantizer.random else super().forward(x)


class GaussianConv2d(BinaryConv2d):
    """`GaussianLinear` as a convolution with zero padding: `a = h ∗ w`."""

    quantizer: BinaryDistribution

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        quantizer: BinaryDistribution,
        padding: int = 0,
        stride: int = 1,
        input: str = VALUES,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, quantizer, padding, stride)
        self.input = input

    def forward(self, x: Tensor) -> Any:
        f = partial(F.conv2d, stride=self.stride, padding=self.padding)
        return moments(f, self.weight, x, self.input) if self.quantizer.random else super().forward(x)


class StochasticMaxPool2d(nn.MaxPool2d):
    """Of a `Gaussian`: draws once, and passes on mean and variance of the largest in each window; else max-pooling."""

    def forward(self, x: Any) -> Any:
        if not isinstance(x, Gaussian):
            return super().forward(x)
        with torch.no_grad():
            _, index = F.max_pool2d(x.draw(), self.kernel_size, self.stride, self.padding, return_indices=True)
        return Gaussian(*(t.flatten(2).gather(2, index.flatten(2)).view(index.shape) for t in x))


def normalize(x: Gaussian, weight: Tensor, bias: Tensor, eps: float) -> Gaussian:
    """Batch norm of random values: so normalized that values drawn from them have mean β and variance γ².

    Over the M values of a channel `m = Σ μ_i/M`, `v = (Σ s_i² + Σ (μ_i − m)²)/(M − 1)`; then
    `μ̂ = γ(μ − m)/√(v + ε) + β` and `ŝ² = γ² s²/(v + ε)`. ValueError where M = 1."""
    over = [0, *range(2, x.mean.dim())]
    count = x.mean.numel() // x.mean.shape[1]
    if count < 2:
        raise ValueError(f"batch norm needs more than one value per channel in training, not {tuple(x.mean.shape)}")
    centered = x.mean - x.mean.mean(over, keepdim=True)
    v = (x.variance.sum(over, keepdim=True) + centered.square().sum(over, keepdim=True)) / (count - 1)
    shape = v.shape
    scale = weight.view(shape) * (v + eps).rsqrt()
    return Gaussian(centered * scale + bias.view(shape), x.variance * scale.square())


class StochasticBatchNorm1d(nn.BatchNorm1d):
    """Batch norm of a `Gaussian` (batch, features), see `normalize`; of a tensor the ordinary one.

    `mean_only`: gives the mean of the normalized values, a tensor. Running statistics are those of tensors only."""

    def __init__(self, features: int, *, mean_only: bool = False, **options: Any) -> None:
        super().__init__(features, **options)
        self.mean_only = mean_only

    def forward(self, x: Any) -> Any:
        return _normalized(self, x) if isinstance(x, Gaussian) else super().forward(x)


class StochasticBatchNorm2d(nn.BatchNorm2d):
    """The same over (batch, channels, h, w)."""

    def __init__(self, channels: int, *, mean_only: bool = False, **options: Any) -> None:
        super().__init__(channels, **options)
        self.mean_only = mean_only

    def forward(self, x: Any) -> Any:
        return _normalized(self, x) if isinstance(x, Gaussian) else super().forward(x)


def _normalized(norm: StochasticBatchNorm1d | StochasticBatchNorm2d, x: Gaussian) -> Any:
    result = normalize(x, norm.weight, norm.bias, norm.eps)
    return result.mean if norm.mean_only else result


def log_odds(x: Gaussian) -> Tensor:
    """`log(p/(1 − p))` of `p = P(x ≥ 0) = Φ(μ/s)`, with |μ/s| cut at `CERTAIN`, where it is ±75."""
    z = (x.mean / x.deviation()).clamp(-CERTAIN, CERTAIN)
    return torch.special.log_ndtr(z) - torch.special.log_ndtr(-z)


def expected_sign(x: Gaussian) -> Tensor:
    """`E[sign(x)] = 2Φ(μ/s) − 1 = erf(μ/(s√2))`."""
    return torch.erf(x.mean / (x.deviation() * math.sqrt(2)))


def hard_concrete(log_odds: Tensor, temperature: float) -> Tensor:
    """Forward: the sign of a binary concrete variable, +1 with probability p whatever the temperature. Backward: the
    gradient of the variable itself (Jang 2017, the straight-through form)."""
    relaxed = relaxed_concrete(log_odds, torch.rand_like(log_odds), temperature)
    return StraightThrough.apply(relaxed, sign(relaxed, compute_dtype(relaxed)))


class BinaryActivation(Quantizer):
    """Of a `Gaussian`: the mean of its sign, or with `sampling` a sign drawn by `hard_concrete`. Of a tensor, in
    training: tanh, the activation of the real-valued twin; in evaluation: sign."""

    def __init__(self, sampling: bool, temperature: float) -> None:
        super().__init__()
        self.sampling = sampling
        self.temperature = temperature

    def quantize(self, x: Any) -> Tensor:
        if isinstance(x, Gaussian):
            return hard_concrete(log_odds(x), self.temperature) if self.sampling else expected_sign(x)
        return torch.tanh(x) if self.training else sign(x, compute_dtype(x))


NO_REAL = "its layers pass distributions on, and real layers take values"


class NoValueToDropError(ValueError):
    """Dropout was to come between activations that pass on means and the next layer."""


@dataclass(frozen=True)
class GaussianParts(Parts):
    """The parts of a net that passes a `Gaussian` from a layer to its activation. Between activation and next layer
    there are tensors only, so that flattening needs no part of its own; the last batch norm gives a mean, the logits.

    `hidden`, MEANS or SIGNS, is what activations give. NoValueToDropError for a layer that has MEANS after dropout."""

    weight: Callable[[], BinaryDistribution]
    norm1d_type: Callable[..., nn.Module] = StochasticBatchNorm1d
    norm2d_type: Callable[..., nn.Module] = StochasticBatchNorm2d
    hidden: str = MEANS

    def linear(self, role: Role, in_features: int, out_features: int, *, after_dropout: bool = False) -> nn.Module:
        return GaussianLinear(in_features, out_features, self.weight(), self.input_of(role, after_dropout))

    def conv(
        self,
        role: Role,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        padding: int = 0,
        stride: int = 1,
        after_dropout: bool = False,
    ) -> nn.Module:
        input = self.input_of(role, after_dropout)
        return GaussianConv2d(in_channels, out_channels, kernel, self.weight(), padding, stride, input)

    def input_of(self, role: Role, after_dropout: bool) -> str:
        """What a layer's input is. Signs some of which are dropped, and the others scaled, are VALUES."""
        if role == "first":
            return VALUES
        if after_dropout and self.hidden == MEANS:
            raise NoValueToDropError("means that are passed on have no value to drop")
        return VALUES if after_dropout else self.hidden

    def norm(self, kind: Callable[..., nn.Module], role: Role, features: int, settings: NormSettings) -> nn.Module:
        return super().norm(partial(kind, mean_only=role == "output"), role, features, settings)

    def real_linear(self, in_features: int, out_features: int, *, bias: bool = True) -> nn.Linear:
        raise PartError(NO_REAL)

    def real_conv(
        self, in_channels: int, out_channels: int, kernel: int, *, padding: int = 0, stride: int = 1
    ) -> nn.Conv2d:
        raise PartError(NO_REAL)

    def pool(self, size: int, *, stride: int | None = None, padding: int = 0) -> nn.Module:
        return StochasticMaxPool2d(size, stride, padding)
