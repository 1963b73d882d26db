"""Layers whose weight passes through a quantizer, and the set of parts that a net is built from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, cast

from torch import Tensor, nn
from torch.nn import functional as F

from .normalization import ChannelNorm, NormError, NormSettings, RunningBatchNorm1d, RunningBatchNorm2d
from .sign import Quantizer


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


USUAL = NormSettings()
_RUNNING = {nn.BatchNorm1d: RunningBatchNorm1d, nn.BatchNorm2d: RunningBatchNorm2d}


def replaced(kind: Callable[..., nn.Module], settings: NormSettings) -> Callable[..., nn.Module]:
    """The normalization that `settings` asks for in place of PyTorch's batch norm. NormError where `kind` is another
    than that, which only has its own ways."""
    if (settings.kind, settings.running) == (USUAL.kind, USUAL.running):
        return kind
    if kind not in _RUNNING:
        raise NormError("layer norm and other running statistics take the place of ordinary batch norm only")
    return ChannelNorm if settings.kind == "layer" else partial(_RUNNING[kind], running=settings.running)


class PartError(ValueError):
    """A part that a net asks for and a method does not have. The text says what the method cannot do."""


Role = Literal["first", "hidden", "output"]  # has the net's inputs; has a hidden layer's outputs; gives the logits


@dataclass(frozen=True)
class Parts:
    """What a method gives a net to build itself from.

    A net calls it once for each part, in the order of the data, and says the role of each layer and of the batch norm
    behind it. A method that needs another layer in some role overrides what builds it. `weight` and `activation` make a
    fresh quantizer for each layer; a net asks for `activation_for(channels)`, which a method overrides whose sign has
    parameters for each channel. Real layers are PyTorch's own, no `binary_layers`: they are trained with the rest of
    the parameters. A method overrides them with a PartError where it can have none. `norm1d_type` and `norm2d_type` are
    called with the number of features and `norm_options` (default: BinaryNet's ε = 1e-4 and running factor 0.1), over
    which the net's `NormSettings` go."""

    weight: Callable[[], Quantizer]
    activation: Callable[[], Quantizer]
    norm1d_type: Callable[..., nn.Module] = nn.BatchNorm1d
    norm2d_type: Callable[..., nn.Module] = nn.BatchNorm2d
    norm_options: dict[str, Any] = field(default_factory=lambda: {"eps": 1e-4, "momentum": 0.1})

    def linear(self, role: Role, in_features: int, out_features: int, *, after_dropout: bool = False) -> nn.Module:
        """(batch, in) → (batch, out). `after_dropout`: some of its inputs are dropped in training."""
        return BinaryLinear(in_features, out_features, self.weight())

    def conv(
        self,
        role: Role,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        padding: int = 0,
        stride: int = 1,
        after_dropout: bool = False,
    ) -> nn.Module:
        """(batch, in, h, w) → (batch, out, h', w'), `kernel` and `stride` the same in both directions."""
        return BinaryConv2d(in_channels, out_channels, kernel, self.weight(), padding, stride)

    def activation_for(self, channels: int) -> Quantizer:
        """The sign of (batch, channels) or (batch, channels, h, w)."""
        return self.activation()

    def real_linear(self, in_features: int, out_features: int, *, bias: bool = True) -> nn.Linear:
        """(batch, in) → (batch, out) with real weights, for a net's last layer."""
        return nn.Linear(in_features, out_features, bias=bias)

    def real_conv(
        self, in_channels: int, out_channels: int, kernel: int, *, padding: int = 0, stride: int = 1
    ) -> nn.Conv2d:
        """(batch, in, h, w) → (batch, out, h', w') with real weights, no bias; for first layers and shortcuts."""
        return nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False)

    def norm1d(self, role: Role, features: int, settings: NormSettings = USUAL) -> nn.Module:
        """Normalization of (batch, features)."""
        return self.norm(self.norm1d_type, role, features, settings)

    def norm2d(self, role: Role, channels: int, settings: NormSettings = USUAL) -> nn.Module:
        """Normalization of (batch, channels, h, w)."""
        return self.norm(self.norm2d_type, role, channels, settings)

    def norm(self, kind: Callable[..., nn.Module], role: Role, features: int, settings: NormSettings) -> nn.Module:
        given = {"eps": settings.eps, "momentum": settings.factor}
        options = self.norm_options | {name: value for name, value in given.items() if value is not None}
        norm = replaced(kind, settings)(features, **options)
        cast(Tensor, norm.weight).requires_grad_(settings.scale)
        cast(Tensor, norm.bias).requires_grad_(settings.shift)
        return norm

    def pool(self, size: int, *, stride: int | None = None, padding: int = 0) -> nn.Module:
        """Max-pooling over size × size places, windows `stride` apart (None: side by side). Padding is no value."""
        return nn.MaxPool2d(size, stride, padding)
