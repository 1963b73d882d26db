"""Every sum that a channel can have, and what the rest of a stage makes of it."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from .affine import closest_scale, norm
from .operations import BYTES, Conv, Dense, Norm, Operation, PackError, Threshold, pack_signs
from .tree import Leaf

CHUNK = 2**18  # values at a time, which stay in the cache
ROUNDING = 1e-6


@dataclass(frozen=True)
class Sums:
    """`integers` are all sums of a channel; `values(rows)` is what `functions` make of them in each channel.

    The trained net holds integer/unit, unit = 255 where its inputs are (2u − 255)/255; α times that of weights ±α."""

    integers: np.ndarray  # int64, rising
    unit: int
    scale: np.ndarray  # float32 (channels,)
    maps: bool
    device: torch.device
    functions: tuple[Callable[[Tensor], Tensor], ...]

    @classmethod
    def of(cls, product: Operation, kind: str, scale: np.ndarray, device: torch.device) -> "Sums":
        """Of a layer on pixels or signs. Without padding all sums are odd, or all are even."""
        assert isinstance(product, Dense | Conv)
        unit = 255 if kind == BYTES else 1
        bound = unit * product.terms
        padded = isinstance(product, Conv) and product.padding > 0
        integers = np.arange(-bound, bound + 1, 1 if padded else 2)
        return cls(integers, unit, scale, isinstance(product, Conv), device, ())

    @property
    def channels(self) -> int:
        return len(self.scale)

    def through(self, function: Callable[[Tensor], Tensor]) -> "Sums":
        return replace(self, functions=(*self.functions, function))

    def chunks(self) -> Iterator[np.ndarray]:
        """float32 (rows, channels) of consecutive integers."""
        rows = max(2, CHUNK // self.channels)
        scale = torch.from_numpy(self.scale).to(self.device)
        for start in range(0, len(self.integers), rows):
            held = (self.integers[start : start + rows] / self.unit).astype(
                np.float32
            )  # divided in float64, then rounded
            x = torch.from_numpy(held).to(self.device)[:, None] * scale
            if self.maps:
                x = x[:, :, None, None]
            for function in self.functions:
                x = function(x)
            yield x.flatten(1).float().cpu().numpy()

    def slope(self) -> np.ndarray:
        """By how much the value grows from sum 0 to sum 1, in float64 (channels,)."""
        x = torch.tensor([[0.0], [1.0]], dtype=torch.float64, device=self.device) / self.unit
        x = x * torch.from_numpy(self.scale).to(self.device)
        if self.maps:
            x = x[:, :, None, None]
        for function in self.functions:
            x = (deepcopy(function).double() if isinstance(function, nn.Module) else function)(x)
        low, high = x.flatten(1).cpu().numpy()
        return high - low

    def require_rising(self, name: str) -> None:
        """PackError where a larger sum can give a smaller value, by more than rounding: the largest value of a window
        is then not that of its largest sum."""
        last = np.full(self.channels, -np.inf, np.float32)
        for values in self.chunks():
            before = np.concatenate([last[None], values[:-1]])
            if (values < before - ROUNDING * np.abs(values)).any():
                raise PackError(f"{name} is pooled, but does not rise with its sum")
            last = values[-1]


def threshold(sums: Sums, name: str) -> Threshold | None:
    """The switch of each channel's sign; None where the values are not all ±1. A channel whose sign never changes is
    given a threshold past its sums.

    PackError where a sign changes more than once: it is no threshold of the sum."""
    place: np.ndarray = np.zeros(sums.channels, np.int64)  # of the first sum after the change, among `integers`
    changes = np.zeros(sums.channels, np.int64)
    first = last = None
    start: int = 0
    for values in sums.chunks():
        size = np.abs(values)
        if size.min() != 1 or size.max() != 1:
            return None
        positive = values > 0
        if first is None or last is None:
            first = last = positive[0]
        for offset, before, behind in ((0, last[None], positive[:1]), (1, positive[:-1], positive[1:])):
            differs = before != behind
            if np.count_nonzero(differs):  # rarely
                row, channel = np.nonzero(differs)
                np.add.at(changes, channel, 1)
                place[channel] = start + offset + row
        last = positive[-1]
        start += len(values)
    assert first is not None
    if (changes > 1).any():
        worst = int(np.argmax(changes > 1))
        raise PackError(f"layer {name}: the sign of channel {worst} is not a threshold of its sum")
    past = np.append(sums.integers, sums.integers[-1] + 1)
    constant = np.where(first, past[0], past[-1])
    switch = np.where(changes == 0, constant, past[place])
    return Threshold(switch.astype(np.int32), pack_signs(np.where(first & (changes == 1), 1, -1)))


def fit_norm(sums: Sums, name: str) -> Norm:
    """Batch norm of sums as `(S − center)·scale + shift` that gives its very float32 values where there is one.

    shift is its value at S = center, and scale is looked for among the floats around its slope. center is 0, or the
    running mean of a batch norm that takes it away first. PackError where the layer is not affine."""
    if len(sums.integers) * sums.channels > 2 * CHUNK:
        sums = replace(sums, integers=sums.integers[:: len(sums.integers) * sums.channels // CHUNK])
    values = np.concatenate(list(sums.chunks())).astype(np.float64)
    integers = sums.integers.astype(np.float64)[:, None]
    best: tuple[int, Norm] | None = None
    for center, shift in _starts(sums):
        x = (integers - center).astype(np.float32).astype(np.float64)
        scale, misses = closest_scale(x, values, sums.slope().astype(np.float32), shift)
        if best is None or misses.sum() < best[0]:
            best = misses.sum(), norm(center, scale, shift)
    assert best is not None
    fit = best[1]
    fitted = (integers - fit.center) * fit.scale.astype(np.float64) + fit.shift
    if not np.allclose(fitted, values, rtol=1e-4, atol=1e-4 * np.maximum(1, np.abs(values).max(0))):  # by channel
        raise PackError(f"layer {name}: its output is not an affine function of the sum")
    return fit


def _starts(sums: Sums) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(center, shift): the value at sum 0, and the bias of a batch norm that centers first."""
    zero = replace(sums, integers=np.zeros(1, np.int64))
    yield np.zeros(sums.channels, np.float32), next(zero.chunks())[0].astype(np.float64)
    module = sums.functions[-1]
    mean, bias = getattr(module, "running_mean", None), getattr(module, "bias", None)
    if isinstance(mean, Tensor) and isinstance(bias, Tensor) and (sums.scale == 1).all() and sums.unit == 1:
        yield mean.detach().float().cpu().numpy(), bias.detach().double().cpu().numpy()


def layer_of_sums(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """What a layer makes of its sums S: S itself and its bias, or what it does after the `product` that it defines."""
    if not hasattr(layer, "product"):
        bias = getattr(layer, "bias", None)
        return lambda s: s if bias is None else s + bias.view(-1, *[1] * (s.dim() - 2))
    layer = deepcopy(layer)
    layer.product = lambda x, w: x  # type: ignore[assignment]
    return layer


def require_by_channel(leaf: Leaf, sums: Sums) -> None:
    """PackError where a value that comes out of `module` depends on another channel or place, as in layer norm: half of
    the values are changed, and the others must stay what they were."""
    shape = (2, sums.channels, 2, 2) if sums.maps else (2, sums.channels)
    x, other, chosen = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)).to(sums.device)
    kept = chosen < 0.5
    if not torch.equal(leaf.module(x)[kept], leaf.module(torch.where(kept, x, other))[kept]):
        raise PackError(f"layer {leaf} mixes channels: what follows is no threshold of a sum")
