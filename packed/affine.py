"""Affine maps in float32, and the search for the one that gives another computation's very values."""

from collections.abc import Iterator

import numpy as np

from .operations import Norm

ULPS = 4  # how far a scale is looked for


def norm(center: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Norm:
    """The operation of these values (channels,), as float32."""
    return Norm(*(np.ascontiguousarray(values, np.float32) for values in (center, scale, shift)))


def closest_scale(
    x: np.ndarray, values: np.ndarray, scale: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Among the float32s around `scale`, the one with which `x·scale + shift`, rounded once, misses the fewest of
    `values` in each channel; and how many it misses. x: float64 (rows, channels or 1); values: (rows, channels)."""
    fewest, chosen = np.full(len(scale), len(values) + 1), scale
    for candidate in _neighbours(scale):
        misses = ((x * candidate + shift).astype(np.float32) != values).sum(0)
        chosen = np.where(misses < fewest, candidate, chosen)
        fewest = np.minimum(misses, fewest)
    return chosen, fewest


def _neighbours(scale: np.ndarray) -> Iterator[np.ndarray]:
    """The float32s within a few units in the last place."""
    yield scale
    up = down = scale
    for _ in range(ULPS):
        up, down = np.nextafter(up, np.float32(np.inf)), np.nextafter(down, np.float32(-np.inf))
        yield up
        yield down
