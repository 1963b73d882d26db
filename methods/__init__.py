"""The methods that the benchmark compares, one a file. `METHODS["ste"]` is the class in methods/ste.py."""

from configs.registry import METHODS

__all__ = ["METHODS"]
