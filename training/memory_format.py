"""How the weights and activations of convolutions lie in memory."""

import torch
from torch import nn


def use_channels_last(net: nn.Module, device: torch.device, precision: str) -> None:
    """Lays the weights of convolutions out channels-last, where convolutions are faster so: on CPUs, and on CUDA in
    TF32 and bfloat16, whose tensor cores take that layout.

    A convolution with such weights computes, and returns, channels-last activations. Results are the same but for the
    order in which real numbers are added; sums of ±1 are exact in any order. benchmarks/convnet.py measures it."""
    if device.type == "cpu" or (device.type == "cuda" and precision != "32"):
        net.to(memory_format=torch.channels_last)
