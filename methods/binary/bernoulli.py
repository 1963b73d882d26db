"""Layers of the naive Bernoulli network: means of ±1 variables go in, the probability of a nonnegative sum comes out.

Every input and every weight is an independent ±1 variable, of which a layer has the means `mx` and `mw` in [−1, 1]; a
product has the mean `μ = mx·mw`, and the layer's output is `z = P(S ≥ 0)` of the sum S of its N products. Source:
slides, Pavlyuchenkov 2023. Differs from them: there are ways to compute z that are faster, or train better, than the
exact one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .layers import BinaryConv2d, BinaryLinear, Parts, Role
from .poisson_binomial import CHUNK, WAYS, clt_error, nominal_prob, normal_prob, prob_sum_nonnegative
from .sign import Quantizer, StraightThrough, compute_dtype, sign

LAYER_WAYS = ("auto", *WAYS)
EXPECTATION = "expectation"
CERTAIN = 40.0  # a logit whose probability is 0 or 1 in float64 too


class WeightMean(Quantizer):
    """`mw = 2σ(θ) − 1 = tanh(θ/2)` of weight logits θ; in evaluation `sign(θ)`, unless `soft`.

    A weight whose logit is ±CERTAIN is ±1 in training too, and no gradient reaches it: it is hardened."""

    soft = False

    def quantize(self, x: Tensor) -> Tensor:
        return self.mean(x) if self.training or self.soft else sign(x, compute_dtype(x))

    def mean(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 2)


class ActivationMean(Quantizer):
    """`mx = 2·σ(a/(T + 1e-4)) − 1` of a batch norm's output a; in evaluation `sign(a)`, unless `soft`.

    Where `hardened`, it is sign(a) in training too, with the gradient of the above. T and `hardened` are tensors: a
    float would be compiled into the net, and each new value compile it again. They are no part of a net's state."""

    soft = False
    temperature: Tensor
    hardened: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()), persistent=False)
        self.register_buffer("hardened", torch.zeros((), dtype=torch.bool), persistent=False)

    def quantize(self, x: Tensor) -> Tensor:
        if not (self.training or self.soft):
            return sign(x, compute_dtype(x))
        means = 2 * annealed_sigmoid(x, self.temperature) - 1
        return StraightThrough.apply(means, torch.where(self.hardened, sign(x, means.dtype), means))


def annealed_sigmoid(a: Tensor, temperature: Tensor | float) -> Tensor:
    """`σ(a/(T + 1e-4))`: at T = 0 nearly a step."""
    return torch.sigmoid(a / (temperature + 1e-4))


def uncertainty(means: Tensor) -> Tensor:
    """The regularizer that pulls probabilities to 0 or 1: `mean(1 − mw²)`, 1 for fair coins, 0 for certain weights."""
    return ((1 - means) * (1 + means)).mean()


class _Probabilities(nn.Module):
    """What the layers share: from input means x and weights' means w to z, or to the expected sum itself.

    `how`, of `LAYER_WAYS`, is how z is computed in training (see `poisson_binomial.prob_sum_nonnegative`). "auto": the
    CLT where `clt_error` of the sum's own variance is at most `tolerance` (.01: sd ≥ 16, or Var ≤ .033; .03: sd ≥ 5.3,
    or Var ≤ .05), and the adaptive lattice for all other sums. "clt" and "nominal" need matrix products only,
    `m = mx·mw` and `Var = N − mx²·mw²`; the others hold products μ in chunks of CHUNK numbers. "expectation" is the
    math-expectation layer: the output is m, real.

    In evaluation weights are signs and z is 1 or 0, unless `soft`; "nominal" gives Φ(…) there too. Both are monotone in
    S, so batch norm and sign after them are a threshold on S. Input means outside [−1, 1] count as ±1, except for
    "nominal". Zeros of a convolution's padding are inputs of mean 0, fair coins."""

    soft = False
    how: str
    tolerance: float
    spread: float
    gradient: str
    weight: Tensor
    quantizer: Quantizer

    def product(self, x: Tensor, w: Tensor) -> Tensor:
        """x·w, the layer's linear map."""
        raise NotImplementedError

    def patches(self, x: Tensor) -> Tensor:
        """The inputs of each sum: (batch, places, N)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        w = self.quantizer(self.weight)
        if self.how == EXPECTATION:
            return self.product(x, w)
        N = w[0].numel()
        if self.how == "nominal":
            return nominal_prob(_wide(self.product(x, w)), N, self.spread)
        if not (self.training or self.soft):
            return (self.product(x, w) >= 0).to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):  # 8 bits are too few for a variance
            x, w = _within(_wide(x)), _wide(w)
            mean = self.product(x, w)
            if self.how in ("exact", "adaptive"):
                rows = self.patches(x).flatten(0, 1).split(max(1, CHUNK // w.numel()))
                z = torch.cat([_chunk(_of_all, part, w.flatten(1), self.how, self.gradient) for part in rows])
                return z.unflatten(0, (len(x), -1)).transpose(1, 2).reshape(mean.shape)
            variance = N - self.product(x.square(), w.square())
            z = normal_prob(mean, variance, N)
            return z if self.how == "clt" else self._with_small_sums(x, w, z, variance)

    def _with_small_sums(self, x: Tensor, w: Tensor, z: Tensor, variance: Tensor) -> Tensor:
        """z with the sums for which the CLT is not good enough put in from the adaptive lattice."""
        poor = clt_error(variance) > self.tolerance
        image, out, place = torch.nonzero(poor.flatten(2) if poor.dim() > 2 else poor[:, :, None], as_tuple=True)
        patches, w = self.patches(x), w.flatten(1)
        size = max(1, CHUNK // w.shape[1])
        indices = zip(image.split(size), place.split(size), out.split(size), strict=True)
        return z.masked_scatter(poor, torch.cat([_chunk(_of_some, patches, w, *index) for index in indices]))


class BernoulliLinear(_Probabilities, BinaryLinear):
    """(batch, in) means → (batch, out) probabilities of nonnegative sums (or expected sums). See `_Probabilities`."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        quantizer: Quantizer,
        how: str = "auto",
        tolerance: float = 0.01,
        spread: float = 1.0,
        gradient: str = "solve",
    ) -> None:
        super().__init__(in_features, out_features, quantizer)
        self.how, self.tolerance, self.spread, self.gradient = how, tolerance, spread, gradient

    def product(self, x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w)

    def patches(self, x: Tensor) -> Tensor:
        return x[:, None]


class BernoulliConv2d(_Probabilities, BinaryConv2d):
    """(batch, in, h, w) means → (batch, out, h', w') probabilities: `BernoulliLinear` on unfolded patches."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        quantizer: Quantizer,
        padding: int = 0,
        stride: int = 1,
        how: str = "auto",
        tolerance: float = 0.01,
        spread: float = 1.0,
        gradient: str = "solve",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, quantizer, padding, stride)
        self.how, self.tolerance, self.spread, self.gradient = how, tolerance, spread, gradient

    def product(self, x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x, w, stride=self.stride, padding=self.padding)

    def patches(self, x: Tensor) -> Tensor:
        assert not isinstance(self.padding, str)
        return F.unfold(x, self.kernel_size, padding=self.padding, stride=self.stride).transpose(1, 2)


@dataclass(frozen=True)
class BernoulliParts(Parts):
    """Parts of a naive Bernoulli net: the output layer gives the expected sum, the others z in the way `how`."""

    how: str = "auto"
    tolerance: float = 0.01
    spread: float = 1.0
    gradient: str = "solve"

    def linear(self, role: Role, in_features: int, out_features: int, *, after_dropout: bool = False) -> nn.Module:
        arguments = in_features, out_features, self.weight()
        return BernoulliLinear(*arguments, self.way(role), self.tolerance, self.spread, self.gradient)

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
        arguments = in_channels, out_channels, kernel, self.weight(), padding, stride
        return BernoulliConv2d(*arguments, self.way(role), self.tolerance, self.spread, self.gradient)

    def way(self, role: Role) -> str:
        return EXPECTATION if role == "output" else self.how


def _of_all(x: Tensor, w: Tensor, how: str, gradient: str) -> Tensor:
    return prob_sum_nonnegative(x[:, None] * w, how, gradient=gradient)


def _of_some(patches: Tensor, w: Tensor, image: Tensor, place: Tensor, out: Tensor) -> Tensor:
    return prob_sum_nonnegative(patches[image, place] * w[out], "adaptive")


@torch.compiler.disable  # loops over terms and sizes that depend on the data: nothing to compile
def _chunk(function: Callable[..., Tensor], *arguments: Tensor | str) -> Tensor:
    """The function's result. Its intermediate tensors are not kept for the backward pass, but computed again."""
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)


def _within(x: Tensor) -> Tensor:
    """Means clipped to [−1, 1]. The gradient passes at ±1 itself, where that of `clamp` depends on torch's version."""
    return torch.where(x.abs() > 1, x.sign(), x)


def _wide(x: Tensor) -> Tensor:
    """In float32 at least, which a matrix product under autocast is not."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
