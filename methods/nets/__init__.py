"""The architectures, one a file. A net takes parts (quantizers, layers, norms) and knows no method and no optimizer."""

from configs.registry import NETS

__all__ = ["NETS"]
