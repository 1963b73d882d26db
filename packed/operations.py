"""Operations of packed nets, on integers, bits and real numbers, and the check that each fits what goes into it."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

# What a value is on its way through the net.
BYTES = "bytes"  # odd integers a = 2u − 255 of pixels u: 255 times the input that the net was trained with
SIGNS = "signs"  # ±1
SUMS = "sums"  # integers
REAL = "real"  # float32
FUNCTIONS = ("relu", "tanh", "hardtanh", "sign")
LARGEST = 2**28  # values of one image anywhere in a net
EXACT_FLOAT32 = 2**24  # sums of integers are exact in float32 below this


class PackError(ValueError):
    """A net, a file or an input that cannot be packed or run. The text is one line."""


class Values(NamedTuple):
    """Kind and shape (of one image) of what passes between two operations; no value is larger than `bound`."""

    kind: str
    shape: tuple[int, ...]
    bound: int


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


def input_values(source: Input, shape: tuple[int, ...]) -> Values:
    _require(len(shape) == 3 and min(shape) >= 1 and np.prod(shape, dtype=float) <= LARGEST, f"input shape {shape}")
    _require(source.kind in (BYTES, SIGNS, REAL), f"unknown kind of input {source.kind!r}")
    for values in (source.shift, source.scale):
        _require(values is None or (source.kind == REAL and values.shape == shape[:1]), "shift and scale of the input")
    _require((source.shift is None) == (source.scale is None), "the input has one of shift and scale")
    return Values(source.kind, tuple(shape), {BYTES: 255, SIGNS: 1}.get(source.kind, 0))


def after(operation: Operation, x: Values, *others: Values) -> Values:
    """What comes out of `operation` where x goes in (of a sum: x and the other). PackError where it does not fit."""
    kind, shape, bound = x
    _require(len(others) == isinstance(operation, Add), f"takes {1 + len(others)} results")
    if isinstance(operation, Dense | Conv):
        shape = _after_product(operation, x)
        binary = operation.weight.dtype == np.uint8
        if not binary or kind == REAL:
            _require(kind in (SIGNS, REAL), f"real weights cannot take {kind}")
            return Values(REAL, shape, 0)
        _require(kind in (BYTES, SIGNS), f"takes signs, bytes or real values, not {kind}")
        bound = bound * operation.terms
        _require(bound < 2**31 - 1, f"sums up to {bound} are too large for 32 bits")
        return Values(SUMS, shape, bound)
    if isinstance(operation, Pool):
        _require(kind != BYTES, "pixels cannot be pooled")
        return Values(kind, _after_pool(operation, shape), bound)
    if isinstance(operation, Flatten):
        _require(len(shape) == 3, f"takes maps, not {text(x)}")
        return Values(kind, (int(np.prod(shape)),), bound)
    if isinstance(operation, Activation):
        _require(operation.function in FUNCTIONS, f"unknown function {operation.function!r}")
        _require(kind == REAL, f"takes real values, not {kind}")
        return Values(SIGNS, shape, 1) if operation.function == "sign" else x
    if isinstance(operation, Threshold):
        _require(kind == SUMS, f"takes sums, not {kind}")
        _require(operation.threshold.shape == shape[:1], f"{operation.threshold.shape[0]} thresholds for {text(x)}")
        _require(operation.inverted.shape == (-(-shape[0] // 8),), "bits of `inverted`")
        _require(int(np.abs(operation.threshold.astype(np.int64)).max()) <= bound + 1, "a threshold past ±(terms + 1)")
        return Values(SIGNS, shape, 1)
    if isinstance(operation, Norm):
        _require(kind in (SUMS, REAL), f"takes sums or real values, not {kind}")
        _require_by_channel(x, operation.center, operation.scale, operation.shift)
        return Values(REAL, shape, 0)
    _require(kind == REAL, f"takes real values, not {kind}")
    if isinstance(operation, Prelu):
        _require_by_channel(x, operation.slope)
        return x
    if isinstance(operation, Add):
        _require(others[0] == x, f"adds {text(others[0])} to {text(x)}")
        return x
    _require(len(shape) == 3, f"takes maps, not {text(x)}")
    if isinstance(operation, Average):
        windows = f"windows of {operation.rows}×{operation.columns}, maps {shape}"
        _require(1 <= operation.rows <= shape[1] and 1 <= operation.columns <= shape[2], windows)
        return Values(REAL, (shape[0], -(-shape[1] // operation.rows), -(-shape[2] // operation.columns)), 0)
    added = operation.before + operation.after, operation.top + operation.bottom, operation.left + operation.right
    shape = tuple(side + more for side, more in zip(shape, added, strict=True))
    _require(min(vars(operation).values()) >= 0 and np.prod(shape, dtype=float) <= LARGEST, f"pads to {shape}")
    return Values(REAL, shape, 0)


def _require_by_channel(x: Values, *arrays: np.ndarray) -> None:
    for values in arrays:
        _require(values.shape == x.shape[:1], f"{values.shape} values for {text(x)}")
        _require(bool(np.isfinite(values).all()), "a value that is not finite")


def _after_pool(pool: Pool, shape: tuple[int, ...]) -> tuple[int, ...]:
    _require(len(shape) == 3 and pool.size >= 1 and pool.stride >= 0, f"size {pool.size}, maps {shape}")
    _require(0 <= pool.padding <= pool.size // 2, f"padding {pool.padding} of windows of {pool.size}")
    rows, columns = ((side + 2 * pool.padding - pool.size) // pool.step + 1 for side in shape[1:])
    _require(rows >= 1 and columns >= 1, f"size {pool.size}, maps {shape}")
    return shape[0], rows, columns


def _after_product(operation: Dense | Conv, x: Values) -> tuple[int, ...]:
    weight, shape = operation.weight, x.shape
    last = -(-operation.inputs // 8) if weight.dtype == np.uint8 else operation.inputs
    _require(operation.inputs >= 1 and min(weight.shape, default=0) >= 1, "no inputs or outputs")
    _require(weight.shape[-1] == last, f"weight {weight.shape} for {operation.inputs} inputs")
    if isinstance(operation, Dense):
        _require(weight.ndim == 2 and shape == (operation.inputs,), f"{operation.inputs} inputs of {shape}")
        return weight.shape[:1]
    _require(
        weight.ndim == 4 and len(shape) == 3 and shape[0] == operation.inputs, f"{operation.inputs} maps in {shape}"
    )
    outputs, height, width = weight.shape[:3]
    padding, stride = operation.padding, operation.stride
    _require(0 <= padding < min(height, width) and stride >= 1, f"padding {padding}, stride {stride}")
    rows, columns = (
        (side + 2 * padding - kernel) // stride + 1 for side, kernel in ((shape[1], height), (shape[2], width))
    )
    _require(rows >= 1 and columns >= 1, f"a kernel of {height}×{width} on maps of {shape[1]}×{shape[2]}")
    patches = float(rows) * columns * max(operation.terms, outputs)
    _require(patches <= LARGEST, f"{patches:.0f} values for one image, more than {LARGEST}")
    return outputs, rows, columns


def text(x: Values) -> str:
    return f"{x.kind} {'×'.join(map(str, x.shape))}"


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise PackError(text)
