"""ResNet-18 of the literature on CIFAR, with ordinary or Bi-Real shortcuts."""

from dataclasses import dataclass

from torch import nn

from configs.settings import setting

from ..binary.layers import Parts
from .residual import DOWNSAMPLINGS, SHORTCUTS, Residual, ResidualConfig, real_output, require_side


@dataclass
class Config(ResidualConfig):
    name: str = "resnet18"
    width: int = setting(64, "channels of the first stage; the others have 2×, 4× and 8×", low=1)
    shortcut: str = setting(
        "single", "around each two convolutions, or (Bi-Real Net) around each one", choices=SHORTCUTS
    )
    downsample: str = setting("conv", "shortcut where the shape changes, as in resnet20", choices=DOWNSAMPLINGS)


class ResNet18(nn.Sequential):
    """ResNet-18 for CIFAR: 4 stages of 2 blocks of 2 convolutions 3×3; first and last layer real

    Input (batch, C, H, W) with sides of 8 pixels or more, output (batch, classes) logits. r3×3 64 of stride 1, BN |
    blocks of 64, 128, 256, 512 channels, stride 1, 2, 2, 2 | mean over all places | BN | dense with bias. Papers
    differ in the shortcut where the shape changes, and so compare different nets: `downsample=conv` IR-Net, ReSTE,
    AdaBin; `binary` RBNN, SiMaN; `average` ReCU, BiPer. AdaBin's blocks are `double`; ReSTE's have
    `nonlinearity=none relu_before_norm=true`. Source: the repositories that the papers name."""

    def __init__(self, config: Config, parts: Parts, input_shape: tuple[int, int, int], classes: int) -> None:
        require_side("resnet18", 8, input_shape)
        residual, width = Residual(config, parts), config.width
        super().__init__(
            parts.real_conv(input_shape[0], width, 3, padding=1),
            *([nn.ReLU()] if config.relu_before_norm else []),
            parts.norm2d("first", width, config.norm_settings("first", dense=False)),
            *residual.stages(width, stages=4, blocks=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            parts.norm1d("hidden", 8 * width, config.norm_settings("hidden", dense=True)),
            *real_output(config, parts, 8 * width, classes),
        )

    Config = Config
