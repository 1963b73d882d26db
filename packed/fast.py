"""The fast engine: 64 products a word by popcount. Signs are bits and maps have channels last; what no kernel is for,
real products above all, is left to the reference."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from . import kernels, reference
from .engines import Batched
from .net import INPUT, PackedNet
from .operations import (
    BYTES,
    REAL,
    SIGNS,
    SUMS,
    Activation,
    Add,
    Average,
    Conv,
    Dense,
    Flatten,
    Norm,
    Operation,
    Pool,
    Threshold,
    unpack_signs,
)
from .values import Values

FEW = 32  # input channels up to which the signs under a kernel fill words: one for each place would be mostly empty
CHUNK = 2**18  # values at a time: sums of 1 MiB stay in the cache between a product and its threshold

Step = Callable[..., np.ndarray]


class Fast(Batched):
    """A net whose weights are laid out for `kernels`. Layouts of its results, for N images:

    pixels uint8 (N, C, H, W) or (N, C·H·W); signs uint64 (N, ⌈C/64⌉) or (N, h, w, ⌈C/64⌉), bit 1 for +1; sums int32
    (N, C) or (N, h, w, C); real values float32 of the same shapes."""

    name = "fast"

    def __init__(self, net: PackedNet, threads: int = 1) -> None:
        super().__init__(net, threads)
        steps = list(net.steps())
        self.steps: list[Step] = [_step(operation, before, behind) for operation, before, behind in steps]
        _, first, second = steps[0]
        alone = sum(source == INPUT for taken in net.graph for source in taken) == 1
        if first.kind == SIGNS and isinstance(steps[0][0], Flatten) and alone:  # read as a vector at once
            first, self.steps[0] = second, lambda x: x
        self.read = _reader(net, first)
        largest = max(int(np.prod(behind.shape)) for _, _, behind in steps)
        self.chunk = max(1, CHUNK // largest)

    def run(self, images: np.ndarray) -> np.ndarray:
        parts = [images[i : i + self.chunk] for i in range(0, len(images), self.chunk)]
        return np.concatenate([self._chunk(part) for part in parts])

    def _chunk(self, x: np.ndarray) -> np.ndarray:
        return self.net.evaluate(self.read(x), self.steps).astype(np.float32, copy=False)


def _reader(net: PackedNet, values: Values) -> Step:
    if net.input.kind == BYTES:
        return np.ascontiguousarray
    if net.input.kind == SIGNS and len(values.shape) == 1:
        return lambda x: pack_words(x.reshape(len(x), -1) > 127)
    if net.input.kind == SIGNS:
        return lambda x: pack_words(x.transpose(0, 2, 3, 1) > 127)
    return lambda x: _from_reference(reference.read(net.input, x), values)


def _step(operation: Operation, before: Values, behind: Values) -> Step:
    if isinstance(operation, Dense | Conv) and behind.kind == SUMS:
        if before.kind == SIGNS:
            return _sign_product(operation, before, behind)
        return _byte_product(operation, before, behind)
    if isinstance(operation, Threshold):
        return _threshold(operation, behind)
    if isinstance(operation, Pool) and before.kind in (SUMS, REAL):
        return _pool(operation, behind)
    if isinstance(operation, Average):
        return _average(operation, behind)
    if isinstance(operation, Norm):
        return _norm(operation)
    if isinstance(operation, Activation) and operation.function == "sign":
        return _sign(behind)
    if isinstance(operation, Add):
        return np.add
    if isinstance(operation, Flatten) and before.kind == BYTES:
        return lambda x: x.reshape(len(x), -1)
    if isinstance(operation, Dense | Conv):
        operation = replace(operation, weight=operation.signs())  # unpacked once

    def run(x: np.ndarray, *others: np.ndarray) -> np.ndarray:
        return _from_reference(reference.apply(operation, before, _to_reference(x, before), *others), behind)

    return run


def _sign_product(operation: Dense | Conv, before: Values, behind: Values) -> Step:
    """`S = K − 2·|{x ≠ w}|` over the K terms inside the maps. The bits of a padded x are 0, which differs from the +1s
    of w: a sum starts as much higher."""
    taps = _by_tap(operation)
    inside = _taps_inside(operation, before)
    start = operation.inputs * inside.sum(1, keepdims=True) + 2 * (1 - inside) @ (taps > 0).sum(2).T
    dense = operation.inputs <= FEW or isinstance(operation, Dense)
    words = pack_words(taps.reshape(len(taps), -1) > 0 if dense else taps > 0)
    weight = np.ascontiguousarray(words.reshape(len(words), -1).T)
    return _product(operation, behind, weight, start, kernels.sign_sums)


def _byte_product(operation: Dense | Conv, before: Values, behind: Values) -> Step:
    """`Σ (2u − 255)·w = 4·Σ_n 2ⁿ·|{uⁿ = w = +1}| − 2·Σ u − 255·Σ w` of pixels u with bits uⁿ; a padded u is 0, and the
    last sum is over the terms inside the image."""
    taps = _by_tap(operation)
    start = -255 * _taps_inside(operation, before) @ taps.sum(2).T
    weight = np.ascontiguousarray(pack_words(taps.reshape(len(taps), -1) > 0).T)
    return _product(operation, behind, weight, start, kernels.byte_sums)


def _product(
    operation: Dense | Conv, behind: Values, weight: np.ndarray, start: np.ndarray, kernel: Callable[..., None]
) -> Step:
    start = np.ascontiguousarray(start, np.int32)
    shape = _channels_last(behind.shape)

    def run(x: np.ndarray) -> np.ndarray:
        images = len(x)
        if isinstance(operation, Conv):
            x = _patches(operation, x, shape)
        elif x.dtype == np.uint8:
            x = _whole_words(x)
        out = np.empty((len(x), weight.shape[1]), np.int32)
        kernel(x.view(np.uint64), weight, start, out)
        return out.reshape(images, *shape)

    return run


def _by_tap(operation: Dense | Conv) -> np.ndarray:
    """The weight's signs as (outputs, taps, inputs): a tap is a place of the kernel."""
    signs = operation.signs()
    return signs.reshape(len(signs), -1, operation.inputs)


def _taps_inside(operation: Dense | Conv, before: Values) -> np.ndarray:
    """Which taps lie inside the maps, 1 or 0, at each place of the output (places, taps). One row where all do."""
    if isinstance(operation, Dense) or operation.padding == 0:
        return np.ones((1, operation.terms // operation.inputs))
    ones = np.ones((1, 1, *before.shape[1:]))
    count, rows, columns = operation.weight.shape[1] * operation.weight.shape[2], *operation.weight.shape[1:3]
    each_tap = np.eye(count).reshape(count, rows, columns, 1)
    inside = reference.product(replace(operation, inputs=1), ones, each_tap)
    return inside[0].reshape(count, -1).T


def _patches(operation: Conv, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(places, values under the kernel): words of signs, or bytes and zeros up to a whole word."""
    rows, columns = operation.weight.shape[1:3]
    pixels = x.dtype == np.uint8
    if pixels:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    elif operation.inputs <= FEW:
        out = np.empty((len(x), *shape[:2], -(-operation.terms // 64)), np.uint64)
        kernels.dense_patches(x, operation.inputs, rows, columns, operation.padding, operation.stride, out)
        return out.reshape(-1, out.shape[3])
    width = rows * columns * x.shape[3]
    out = np.zeros((len(x), *shape[:2], -(-width // 8) * 8 if pixels else width), x.dtype)
    kernels.patches(x, rows, columns, operation.padding, operation.stride, out)
    return out.reshape(-1, out.shape[3])


def _threshold(operation: Threshold, behind: Values) -> Step:
    inverted = pack_words(operation.inversions())
    words = -(-behind.shape[0] // 64)

    def run(x: np.ndarray) -> np.ndarray:
        bits = np.empty((*x.shape[:-1], words), np.uint64)
        kernels.to_bits(x.reshape(-1, x.shape[-1]), operation.threshold, inverted, bits.reshape(-1, words))
        return bits

    return run


def _average(operation: Average, behind: Values) -> Step:
    def run(x: np.ndarray) -> np.ndarray:
        out = np.empty((len(x), *_channels_last(behind.shape)), np.float32)
        kernels.average(x, operation.rows, operation.columns, out)
        return out

    return run


def _norm(operation: Norm) -> Step:
    scale, shift = (values.astype(np.float64) for values in (operation.scale, operation.shift))

    def run(x: np.ndarray) -> np.ndarray:
        out = np.empty(x.shape, np.float32)
        channels = x.shape[-1]
        kernels.normalize(x.reshape(-1, channels), operation.center, scale, shift, out.reshape(-1, channels))
        return out

    return run


def _sign(behind: Values) -> Step:
    words = -(-behind.shape[0] // 64)

    def run(x: np.ndarray) -> np.ndarray:
        bits = np.empty((*x.shape[:-1], words), np.uint64)
        kernels.real_to_bits(x.reshape(-1, x.shape[-1]), bits.reshape(-1, words))
        return bits

    return run


def _pool(operation: Pool, behind: Values) -> Step:
    def run(x: np.ndarray) -> np.ndarray:
        out = np.empty((len(x), *_channels_last(behind.shape)), x.dtype)
        kernels.largest(x, operation.size, operation.step, operation.padding, out)
        return out

    return run


def pack_words(bits: np.ndarray) -> np.ndarray:
    """uint64 (…, ⌈C/64⌉) of (…, C) bool, or uint8 0 and 1; the first bit lowest, tail bits 0."""
    words = np.empty((*bits.shape[:-1], -(-bits.shape[-1] // 64)), np.uint64)
    bits = np.ascontiguousarray(bits).view(np.uint8)
    kernels.pack(bits.reshape(-1, bits.shape[-1]), words.reshape(-1, words.shape[-1]))
    return words


def _whole_words(x: np.ndarray) -> np.ndarray:
    """Bytes with zeros after them, up to a multiple of 8 in the last axis."""
    missing = -x.shape[-1] % 8
    if not missing:
        return np.ascontiguousarray(x)
    return np.concatenate([x, np.zeros((*x.shape[:-1], missing), np.uint8)], axis=-1)


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:], shape[0])


def _to_reference(x: np.ndarray, values: Values) -> np.ndarray:
    """From a layout of this engine to the reference's: float32, channels first."""
    if values.kind == SIGNS:
        x = unpack_signs(x.astype("<u8", copy=False).view(np.uint8), values.shape[0])
    return (np.moveaxis(x, -1, 1) if x.ndim == 4 else x).astype(np.float32, copy=False)


def _from_reference(x: np.ndarray, values: Values) -> np.ndarray:
    x = np.moveaxis(x, 1, -1) if x.ndim == 4 else x
    if values.kind == SIGNS:
        return pack_words(x > 0)
    return np.ascontiguousarray(x, np.float32 if values.kind == REAL else np.int32)
