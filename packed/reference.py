"""The reference engine, in NumPy: every operation as its definition says. Slow where maps are large; the oracle."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .net import PackedNet
from .operations import (
    BYTES,
    EXACT_FLOAT32,
    SIGNS,
    Activation,
    Add,
    Average,
    Conv,
    Dense,
    Flatten,
    Input,
    Norm,
    Operation,
    PackError,
    Pad,
    Pool,
    Prelu,
    Threshold,
)
from .values import Values

PATCHES = 2**26  # values under the kernels of a layer at a time: 256 MiB


def check_images(net: PackedNet, images: np.ndarray) -> None:
    """PackError where `images` are not (N, C, H, W) uint8 pixels of the net's size, or float32 where it takes those."""
    scaled = not net.input.takes_pixels
    kind = np.dtype(np.float32 if scaled else np.uint8)
    if images.dtype != kind or images.ndim != 4 or images.shape[1:] != net.input_shape:
        sides = ", ".join(map(str, net.input_shape))
        taken = f"{'scaled images' if scaled else 'pixels'}, {kind} (N, {sides})"
        raise PackError(f"the net takes {taken}, not {images.dtype} {images.shape}")


def read(source: Input, images: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) as float32 values."""
    if source.kind == BYTES:
        return images.astype(np.float32) * 2 - 255
    if source.kind == SIGNS:
        return np.where(images > 127, np.float32(1), np.float32(-1))
    if source.shift is None or source.scale is None:
        return images
    return (images.astype(np.float32) - source.shift[:, None, None]) / source.scale[:, None, None]


def logits(net: PackedNet, images: np.ndarray) -> np.ndarray:
    """float32 (N, classes) of uint8 images (N, C, H, W)."""
    check_images(net, images)
    size = max(1, PATCHES // _largest(net))
    parts = [images[start : start + size] for start in range(0, len(images), size)] or [images]
    return np.concatenate([evaluate(net, part) for part in parts])


def evaluate(net: PackedNet, images: np.ndarray, seen: Callable[[int, np.ndarray], None] | None = None) -> np.ndarray:
    """The same of all images at once. `seen` is called with each operation's number and result (N, …)."""
    functions = [partial(apply, operation, before) for operation, before, _ in net.steps()]
    return net.evaluate(read(net.input, images), functions, seen).astype(np.float32)


def _largest(net: PackedNet) -> int:
    """The most values that lie under the kernels of a layer, for one image."""
    products = (o.terms * int(np.prod(result.shape[1:])) for o, _, result in net.steps() if isinstance(o, Conv))
    return max(products, default=1)


def apply(operation: Operation, before: Values, x: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """One operation on x (N, …) of kind and shape `before`. Integers are held in floats that have them exactly."""
    match operation:
        case Dense() | Conv():
            exact = before.kind not in (BYTES, SIGNS) or before.bound * operation.terms < EXACT_FLOAT32
            dtype = np.float32 if exact else np.float64
            return product(operation, x.astype(dtype), operation.signs().astype(dtype))
        case Pool(size, _, padding):
            x = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), constant_values=-np.inf)
            windows = sliding_window_view(x, (size, size), axis=(2, 3))
            return windows[:, :, :: operation.step, :: operation.step].max((4, 5))
        case Threshold():
            above = x >= along_channels(operation.threshold.astype(x.dtype), x)
            return np.where(above != along_channels(operation.inversions(), x), np.float32(1), np.float32(-1))
        case Norm():
            return normalize(operation, x)
        case Activation(function):
            return activate(function, x)
        case Prelu(slope):
            return np.where(x >= 0, x, along_channels(slope, x) * x)
        case Average():
            return average(operation, x)
        case Pad(channels, more, top, bottom, left, right):
            return np.pad(x, ((0, 0), (channels, more), (top, bottom), (left, right)))
        case Add():
            return x + others[0]
        case Flatten():
            return x.reshape(len(x), -1)


def product(operation: Dense | Conv, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if isinstance(operation, Dense):
        return x @ weight.T
    x = np.pad(x, ((0, 0), (0, 0), (operation.padding,) * 2, (operation.padding,) * 2))
    windows = sliding_window_view(x, weight.shape[1:3], axis=(2, 3))[:, :, :: operation.stride, :: operation.stride]
    return np.tensordot(windows, weight, axes=((4, 5, 1), (1, 2, 3))).transpose(0, 3, 1, 2)


def average(operation: Average, x: np.ndarray) -> np.ndarray:
    """float32: the sum over what is inside of a window in float64, in rows; divided by how many; rounded once."""
    starts = np.arange(0, x.shape[2], operation.rows), np.arange(0, x.shape[3], operation.columns)
    sums = np.add.reduceat(np.add.reduceat(x, starts[0], 2, dtype=np.float64), starts[1], 3)
    rows = np.minimum(operation.rows, x.shape[2] - starts[0])
    columns = np.minimum(operation.columns, x.shape[3] - starts[1])
    return (sums / (rows[:, None] * columns)).astype(np.float32)


def normalize(norm: Norm, x: np.ndarray) -> np.ndarray:
    """float32: the difference in float32, then product (exact) and sum in float64, and the result as float32."""
    centered = x.astype(np.float32) - along_channels(norm.center, x)
    wide = centered.astype(np.float64) * along_channels(norm.scale, x) + along_channels(norm.shift, x)
    return wide.astype(np.float32)


def activate(function: str, x: np.ndarray) -> np.ndarray:
    if function == "sign":
        return np.where(x >= 0, np.float32(1), np.float32(-1))
    if function == "relu":
        return np.maximum(x, 0)
    return np.tanh(x) if function == "tanh" else np.clip(x, -1, 1)


def along_channels(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(channels,) in a shape that meets x (N, channels, …)."""
    return values.reshape(-1, *[1] * (x.ndim - 2))
