"""What the nets of the literature share: real first and last layers, non-linearities between blocks, shortcuts.

A block is made of ordinary modules in a sequence. Where values are added there is a `Sum` of a branch and a shortcut,
so that the whole net is a tree of sequences and sums.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from configs.settings import UserError, setting

from ..binary.layers import Parts
from .base import NetConfig

NONLINEARITIES: dict[str, Callable[[int], list[nn.Module]]] = {
    "hardtanh": lambda channels: [nn.Hardtanh()],
    "relu": lambda channels: [nn.ReLU()],
    "prelu": lambda channels: [nn.PReLU(channels)],
    "none": lambda channels: [],
}
SHORTCUTS = ("single", "double")
DOWNSAMPLINGS = ("subsample", "average", "conv", "average_conv", "binary")


@dataclass
class RealEndsConfig(NetConfig):
    """Settings of the nets whose first and last layers are real. Batch norm is PyTorch's by default."""

    norm_eps: float | None = setting(1e-5, "ε of batch norm; null: 1e-4 (1e-5 where it is shift-based)", above=0)
    output_norm: bool = setting(False, "the last layer has batch norm too")


@dataclass
class ResidualConfig(RealEndsConfig):
    """Settings of the residual nets for small images."""

    shortcut: str = setting(
        "double", "around each two convolutions, or (Bi-Real Net) around each one", choices=SHORTCUTS
    )
    downsample: str = setting(
        "subsample",
        "shortcut where the shape changes: every second place or 2×2 averages, and zero channels; real 1×1 convolution "
        "and batch norm, of every second place or of averages; or binary 1×1 convolution and batch norm",
        choices=DOWNSAMPLINGS,
    )
    nonlinearity: str = setting("hardtanh", "after each sum, and inside of single blocks", choices=NONLINEARITIES)
    relu_before_norm: bool = setting(False, "ReLU between convolution and batch norm (ReSTE, with nonlinearity=none)")


class Sum(nn.Module):
    """`branch(x) + shortcut(x)`. `adds` are the names of the two, for who reads the net's structure."""

    adds: ClassVar[tuple[str, str]] = ("branch", "shortcut")

    def __init__(self, branch: nn.Sequential, shortcut: nn.Sequential) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


class Residual:
    """Makes the blocks of a residual net from its `config` and a method's `parts`."""

    def __init__(self, config: ResidualConfig, parts: Parts) -> None:
        self.config, self.parts = config, parts

    def nonlinearity(self, channels: int) -> list[nn.Module]:
        return NONLINEARITIES[self.config.nonlinearity](channels)

    def norm(self, channels: int) -> list[nn.Module]:
        before: list[nn.Module] = [nn.ReLU()] if self.config.relu_before_norm else []
        return [*before, self.parts.norm2d("hidden", channels, self.config.norm_settings("hidden", dense=False))]

    def binary(self, inputs: int, outputs: int, stride: int, kernel: int = 3) -> list[nn.Module]:
        """`b(sign x)`: the sign stands before the convolution, so that shortcuts take the unsigned value."""
        conv = self.parts.conv("hidden", inputs, outputs, kernel, padding=kernel // 2, stride=stride)
        return [self.parts.activation_for(inputs), conv]

    def shortcut(self, inputs: int, outputs: int, stride: int) -> nn.Sequential:
        """S(x): x itself where the shape stays. Sides that are odd are averaged over what there is."""
        kind = self.config.downsample
        if (inputs, stride) == (outputs, 1):
            return nn.Sequential()
        means: list[nn.Module] = [nn.AvgPool2d(stride, ceil_mode=True)] if stride > 1 else []
        if kind in ("subsample", "average"):
            missing = outputs - inputs
            zeros = nn.ZeroPad3d((0, 0, 0, 0, missing // 2, missing - missing // 2))  # its first axis: the channels
            return nn.Sequential(*(means if kind == "average" else [nn.MaxPool2d(1, stride)]), zeros)
        norm = self.parts.norm2d("hidden", outputs, self.config.norm_settings("hidden", dense=False))
        if kind == "binary":
            return nn.Sequential(*self.binary(inputs, outputs, stride, kernel=1), norm)
        if kind == "conv":
            return nn.Sequential(self.parts.real_conv(inputs, outputs, 1, stride=stride), norm)
        return nn.Sequential(*means, self.parts.real_conv(inputs, outputs, 1), norm)

    def block(self, inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        """Two 3×3 convolutions, f the non-linearity. Double: `h = f(BN(b x) + S(x))`, `y = f(BN(b h) + h)`. Single:
        `y = f(BN(b f(BN(b x))) + S(x))`."""
        first = [*self.binary(inputs, outputs, stride), *self.norm(outputs)]
        around = self.shortcut(inputs, outputs, stride)
        second = [*self.binary(outputs, outputs, 1), *self.norm(outputs)]
        if self.config.shortcut == "single":
            branch = [*first, *self.nonlinearity(outputs), *second]
            return [Sum(nn.Sequential(*branch), around), *self.nonlinearity(outputs)]
        return [
            Sum(nn.Sequential(*first), around),
            *self.nonlinearity(outputs),
            Sum(nn.Sequential(*second), nn.Sequential()),
            *self.nonlinearity(outputs),
        ]

    def stages(self, width: int, stages: int, blocks: int) -> list[nn.Module]:
        """`blocks` blocks of width, 2·width, … channels; all stages but the first begin with stride 2. Maps of `width`
        channels go in, and of `width · 2^(stages − 1)` come out."""
        made: list[nn.Module] = []
        channels = width
        for stage in range(stages):
            outputs = width * 2**stage
            for block in range(blocks):
                made += self.block(channels, outputs, 2 if stage and not block else 1)
                channels = outputs
        return made


def require_side(net: str, least: int, input_shape: tuple[int, int, int]) -> None:
    """UserError for images with a side below `least`: a later stage of stride 2 would find 1 pixel to halve."""
    _, height, width = input_shape
    if min(height, width) < least:
        raise UserError(f"net={net} needs images of at least {least}×{least} pixels, not {height}×{width}")


def real_layers(net: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    """The layers with real weights: those of PyTorch itself, and no subclasses."""
    for module in net.modules():
        if type(module) is nn.Conv2d or type(module) is nn.Linear:
            yield module


def real_output(config: NetConfig, parts: Parts, features: int, classes: int, *, bias: bool = True) -> list[nn.Module]:
    """The real layer that gives the logits, and its batch norm where the net has one there."""
    layer = parts.real_linear(features, classes, bias=bias)
    if not config.output_norm:
        return [layer]
    return [layer, parts.norm1d("output", classes, config.norm_settings("output", dense=True))]
