"""The data sets, one a file; base.py has what they share. `DATASETS["mnist"]` is the class in datamodules/mnist.py."""

from configs.registry import DATASETS

__all__ = ["DATASETS"]
