"""Layers whose weight passes through a quantizer, and the set of parts that a net is built from."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from .sign import Quantizer

BATCH_NORM_EPS = 1e-4
BATCH_NORM_MOMENTUM = 0.1


class BinaryLinear(nn.Linear):
    """`y = x · q(W)ᵀ`: (batch, in) → (batch, out), no bias; q is the layer's own `quantizer`, W its `weight`."""

    def __init__(self, in_features: int, out_features: int, quantizer: Quantizer) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.quantizer = quantizer

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.quantizer(self.weight))


class BinaryConv2d(nn.Conv2d):
    """`y = x ∗ q(W)`: (batch, in, h, w) → (batch, out, h', w'), zero padding, no bias."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, quantizer: Quantizer, padding: int = 0, stride: int = 1
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False)
        self.quantizer = quantizer

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.quantizer(self.weight), stride=self.stride, padding=self.padding)


BINARY_LAYERS = (BinaryLinear, BinaryConv2d)


def binary_layers(net: nn.Module) -> dict[str, BinaryLinear | BinaryConv2d]:
    """The layers whose weight is (to be) binary, by their name in the net: membership by type, never by name."""
    return {name: m for name, m in net.named_modules() if isinstance(m, BINARY_LAYERS)}


def fans(layer: BinaryLinear | BinaryConv2d) -> tuple[int, int]:
    """(fan_in, fan_out); for a convolution `k²·C` of its input and output channels."""
    area = layer.weight[0, 0].numel()
    return layer.weight.shape[1] * area, layer.weight.shape[0] * area


def batch_norm_1d(features: int) -> nn.Module:
    """Batch norm over (batch, features) with BinaryNet's ε = 1e-4 and running factor 0.1."""
    return nn.BatchNorm1d(features, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)


def batch_norm_2d(channels: int) -> nn.Module:
    """Batch norm over (batch, channels, h, w) with BinaryNet's ε = 1e-4 and running factor 0.1."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)


@dataclass(frozen=True)
class Parts:
    """What a method gives a net to build itself from. `weight`, `activation` make a fresh quantizer for each layer."""

    weight: Callable[[], Quantizer]
    activation: Callable[[], Quantizer]
    norm1d: Callable[[int], nn.Module] = batch_norm_1d
    norm2d: Callable[[int], nn.Module] = batch_norm_2d

    def linear(self, in_features: int, out_features: int) -> nn.Module:
        return BinaryLinear(in_features, out_features, self.weight())

    def conv(self, in_channels: int, out_channels: int, kernel: int, padding: int = 0, stride: int = 1) -> nn.Module:
        return BinaryConv2d(in_channels, out_channels, kernel, self.weight(), padding, stride)

    def pool(self, size: int) -> nn.Module:
        return nn.MaxPool2d(size)
