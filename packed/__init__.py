"""The deployed net: one bit a weight, integer thresholds, in a file, with engines that run it.

Needs NumPy and safetensors (and numba, for the fast engine); only `fold`, `compare` and `bench` need torch."""

from .engines import Engine, engine
from .file import load, save
from .net import PackedNet
from .operations import PackError

__all__ = ["Engine", "PackError", "PackedNet", "engine", "load", "save"]
