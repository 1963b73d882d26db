"""Which engine runs a net: the fast one where numba is installed, else the reference."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import Protocol

import numpy as np

from . import reference
from .net import PackedNet
from .operations import PackError

ENGINES = ("auto", "fast", "reference")
BATCH = 256  # images at a time


class Engine(Protocol):
    """A net that is ready to run. `name` is "fast" or "reference"."""

    name: str

    def logits(self, images: np.ndarray) -> np.ndarray:
        """float32 (N, classes) of uint8 images (N, C, H, W)."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        """int64 (N,): the class with the largest logit, the first of several."""


class Batched:
    """Runs a function of images in batches, on `threads` threads."""

    name = "reference"

    def __init__(self, net: PackedNet, threads: int = 1) -> None:
        self.net, self.threads = net, threads

    def run(self, images: np.ndarray) -> np.ndarray:
        return reference.logits(self.net, images)

    def logits(self, images: np.ndarray) -> np.ndarray:
        reference.check_images(self.net, images)
        if len(images) == 0:
            return np.empty((0, self.net.classes), np.float32)
        parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        if len(parts) < 2:
            return self.run(images)
        if self.threads == 1:
            return np.concatenate([self.run(part) for part in parts])
        with ThreadPoolExecutor(self.threads) as pool:
            return np.concatenate(list(pool.map(self.run, parts)))

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.logits(images).argmax(1)


def engine(net: PackedNet, name: str = "auto", threads: int = 1) -> Engine:
    """`name` of ENGINES; "auto" says in one line where it has to be the reference. PackError where it is not there."""
    if name not in ENGINES:
        raise PackError(f"unknown engine {name!r} (valid: {', '.join(ENGINES)})")
    if name != "reference" and has_numba():
        from .fast import Fast

        return Fast(net, threads)
    if name == "fast":
        raise PackError("the fast engine needs numba, which is not installed here")
    if name == "auto":
        _say_once()
    return Batched(net, threads)


def has_numba() -> bool:
    return find_spec("numba") is not None


@cache
def _say_once() -> None:
    print("packed: numba is not installed, the slow reference engine runs", file=sys.stderr)
