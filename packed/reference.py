"""The reference engine, in NumPy: every operation as its definition says. Slow where maps are large; the oracle."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .operations import (
    BYTES,
    EXACT_FLOAT32,
    SIGNS,
    Activation,
    Conv,
    Dense,
    Flatten,
    Input,
    Norm,
    Operation,
    PackedNet,
    PackError,
    Pool,
    Threshold,
    Values,
)


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
    x = read(net.input, images)
    for operation, before, _ in net.steps():
        x = apply(operation, x, before)
    return x.astype(np.float32)


def apply(operation: Operation, x: np.ndarray, before: Values) -> np.ndarray:
    """One operation on x (N, …) of kind and shape `before`. Integers are held in floats that have them exactly."""
    match operation:
        case Dense() | Conv():
            exact = before.kind not in (BYTES, SIGNS) or before.bound * operation.terms < EXACT_FLOAT32
            dtype = np.float32 if exact else np.float64
            return product(operation, x.astype(dtype), operation.signs().astype(dtype))
        case Pool(size):
            rows, columns = x.shape[2] // size, x.shape[3] // size
            x = x[:, :, : rows * size, : columns * size]
            return x.reshape(*x.shape[:2], rows, size, columns, size).max((3, 5))
        case Threshold():
            above = x >= along_channels(operation.threshold.astype(x.dtype), x)
            return np.where(above != along_channels(operation.inversions(), x), np.float32(1), np.float32(-1))
        case Norm():
            return normalize(operation, x)
        case Activation(function):
            return activate(function, x)
        case Flatten():
            return x.reshape(len(x), -1)


def product(operation: Dense | Conv, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if isinstance(operation, Dense):
        return x @ weight.T
    x = np.pad(x, ((0, 0), (0, 0), (operation.padding,) * 2, (operation.padding,) * 2))
    windows = sliding_window_view(x, weight.shape[1:3], axis=(2, 3))[:, :, :: operation.stride, :: operation.stride]
    return np.tensordot(windows, weight, axes=((4, 5, 1), (1, 2, 3))).transpose(0, 3, 1, 2)


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
