"""What passes between the operations of a packed net, and the check that each fits what goes into it."""

from typing import NamedTuple

import numpy as np

from .operations import (
    BYTES,
    FUNCTIONS,
    REAL,
    SIGNS,
    SUMS,
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
    Pool,
    Prelu,
    Threshold,
)

LARGEST = 2**28  # values of one image anywhere in a net


class Values(NamedTuple):
    """Kind and shape (of one image) of what passes between two operations; no value is larger than `bound`."""

    kind: str
    shape: tuple[int, ...]
    bound: int


def input_values(source: Input, shape: tuple[int, ...]) -> Values:
    _require(len(shape) == 3 and min(shape) >= 1 and np.prod(shape, dtype=float) <= LARGEST, f"input shape {shape}")
    _require(source.kind in (BYTES, SIGNS, REAL), f"unknown kind of input {source.kind!r}")
    for values in (source.shift, source.scale):
        _require(values is None or (source.kind == REAL and values.shape == shape[:1]), "shift and scale of the input")
        _require(values is None or bool(np.isfinite(values).all()), "a value of the input that is not finite")
    _require((source.shift is None) == (source.scale is None), "the input has one of shift and scale")
    _require(source.scale is None or bool(source.scale.all()), "a scale of the input that is 0")
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
        _require_no_tail(operation.inverted, shape[0], "inverted")
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


def _require_no_tail(bits: np.ndarray, count: int, name: str) -> None:
    """All bits of the last axis after the first `count` are 0."""
    _require(count % 8 == 0 or not (bits[..., -1] >> count % 8).any(), f"bits of `{name}` after the last one")


def _after_pool(pool: Pool, shape: tuple[int, ...]) -> tuple[int, ...]:
    _require(len(shape) == 3 and pool.size >= 1 and pool.stride >= 0, f"size {pool.size}, maps {shape}")
    _require(0 <= pool.padding <= pool.size // 2, f"padding {pool.padding} of windows of {pool.size}")
    padded = [side + 2 * pool.padding for side in shape[1:]]
    _require(shape[0] * float(padded[0]) * padded[1] <= LARGEST, f"pads to {padded[0]}×{padded[1]} places")
    rows, columns = ((side - pool.size) // pool.step + 1 for side in padded)
    _require(rows >= 1 and columns >= 1, f"size {pool.size}, maps {shape}")
    return shape[0], rows, columns


def _after_product(operation: Dense | Conv, x: Values) -> tuple[int, ...]:
    weight, shape = operation.weight, x.shape
    last = -(-operation.inputs // 8) if weight.dtype == np.uint8 else operation.inputs
    _require(operation.inputs >= 1 and min(weight.shape, default=0) >= 1, "no inputs or outputs")
    _require(weight.shape[-1] == last, f"weight {weight.shape} for {operation.inputs} inputs")
    if weight.dtype == np.uint8:
        _require_no_tail(weight, operation.inputs, "weight")
    else:
        _require(bool(np.isfinite(weight).all()), "a weight that is not finite")
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
