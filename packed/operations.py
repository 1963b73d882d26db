"""Operations of packed nets, on integers, bits and real numbers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

# What a value is on its way through the net.
BYTES = "bytes"  # odd integers a = 2u − 255 of pixels u: 255 times the input that the net was trained with
SIGNS = "signs"  # ±1
SUMS = "sums"  # integers
REAL = "real"  # float32
FUNCTIONS = ("relu", "tanh", "hardtanh", "sign")
EXACT_FLOAT32 = 2**24  # sums of integers are exact in float32 below this


class PackError(ValueError):
    """A net, a file or an input that cannot be packed or run. The text is one line."""


def pack_signs(signs: np.ndarray) -> np.ndarray:
    """Bits along the last axis, least significant first, 1 for +1 (anything ≥ 0); the tail bits of a row are 0."""
    return np.packbits(signs >= 0, axis=-1, bitorder="little")


def unpack_signs(bits: np.ndarray, count: int) -> np.ndarray:
    """float32 ±1 of the first `count` bits of the last axis."""
    return np.unpackbits(bits, axis=-1, count=count, bitorder="little").astype(np.float32) * 2 - 1


@dataclass(frozen=True, eq=False)
class Input:
    """Pixels u (0..255) to values: "bytes" 2u − 255, "signs" +1 above 127 and −1 elsewhere, "real" (u − shift)/scale in
    float32, channel by channel. Without shift and scale, "real" takes float32 images that are scaled already."""

    name: ClassVar[str] = "input"
    kind: str
    shift: np.ndarray | None = None
    scale: np.ndarray | None = None

    @property
    def takes_pixels(self) -> bool:
        """Whether it takes uint8 pixels; else float32 images that are scaled already."""
        return self.kind != REAL or self.shift is not None


@dataclass(frozen=True, eq=False)
class Dense:
    """`y = x·wᵀ` for vectors. weight: uint8 (outputs, ⌈inputs/8⌉), packed; or float32 (outputs, inputs)."""

    name: ClassVar[str] = "dense"
    inputs: int
    weight: np.ndarray

    @property
    def terms(self) -> int:
        return self.inputs

    def signs(self) -> np.ndarray:
        """The weight as float32 (outputs, inputs)."""
        return unpack_signs(self.weight, self.inputs) if self.weight.dtype == np.uint8 else self.weight


@dataclass(frozen=True, eq=False)
class Conv:
    """`y = x ∗ w` (cross-correlation), `padding` zeros on each side. weight: (outputs, height, width, inputs), its last
    axis packed as uint8 ⌈inputs/8⌉; or float32."""

    name: ClassVar[str] = "conv"
    inputs: int
    padding: int
    stride: int
    weight: np.ndarray

    @property
    def terms(self) -> int:
        return self.inputs * self.weight.shape[1] * self.weight.shape[2]

    def signs(self) -> np.ndarray:
        """The weight as float32 (outputs, height, width, inputs)."""
        return unpack_signs(self.weight, self.inputs) if self.weight.dtype == np.uint8 else self.weight


@dataclass(frozen=True, eq=False)
class Pool:
    """The largest value of each size×size window. Windows are `stride` apart, side by side where that is 0; `padding`
    places on each side are no values; what is left at the edge is dropped. Size 1 takes every stride-th place."""

    name: ClassVar[str] = "pool"
    size: int
    stride: int = 0
    padding: int = 0

    @property
    def step(self) -> int:
        return self.stride or self.size


@dataclass(frozen=True, eq=False)
class Threshold:
    """+1 where `sum ≥ threshold`, else −1, in each channel; the opposite where its bit of `inverted` is 1.

    threshold: int32 (channels,). inverted: uint8 (⌈channels/8⌉,), packed."""

    name: ClassVar[str] = "threshold"
    threshold: np.ndarray
    inverted: np.ndarray

    def inversions(self) -> np.ndarray:
        """bool (channels,)"""
        return np.unpackbits(self.inverted, count=len(self.threshold), bitorder="little").astype(bool)


@dataclass(frozen=True, eq=False)
class Norm:
    """`y = (x − center)·scale + shift` in each channel, float32: the difference is rounded, then the whole."""

    name: ClassVar[str] = "norm"
    center: np.ndarray
    scale: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True, eq=False)
class Activation:
    """relu, tanh, hardtanh (to [−1, 1]) of real values, or their sign, with sign(0) = +1."""

    name: ClassVar[str] = "activation"
    function: str


@dataclass(frozen=True, eq=False)
class Prelu:
    """`x` where x ≥ 0, `slope·x` elsewhere, rounded to float32. slope: float32 (channels,)."""

    name: ClassVar[str] = "prelu"
    slope: np.ndarray


@dataclass(frozen=True, eq=False)
class Average:
    """The mean of each window of rows×columns, side by side; of those that reach over the edge, of what is inside."""

    name: ClassVar[str] = "average"
    rows: int
    columns: int


@dataclass(frozen=True, eq=False)
class Pad:
    """Maps with zeros around them: planes `before` and `after` the channels, `top` and `bottom` rows, `left` and
    `right` columns."""

    name: ClassVar[str] = "pad"
    before: int = 0
    after: int = 0
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


@dataclass(frozen=True, eq=False)
class Add:
    """`x + y` of two results, float32, rounded once."""

    name: ClassVar[str] = "add"


@dataclass(frozen=True, eq=False)
class Flatten:
    """Maps (channels, height, width) to a vector, in that order."""

    name: ClassVar[str] = "flatten"


Operation = Dense | Conv | Pool | Threshold | Norm | Activation | Prelu | Average | Pad | Add | Flatten
