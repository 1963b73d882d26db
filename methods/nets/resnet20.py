"""ResNet-20 of the literature on CIFAR, with ordinary or Bi-Real shortcuts."""

from dataclasses import dataclass

from torch import nn

from configs.settings import setting

from ..binary.layers import Parts
from .residual import Residual, ResidualConfig, real_layers, real_output, require_side


@dataclass
class Config(ResidualConfig):
    name: str = "resnet20"
    width: int = setting(16, "channels of the first stage; the others have 2× and 4×", low=1)


class ResNet20(nn.Sequential):
    """ResNet-20 for CIFAR: 3 stages of 3 blocks of 2 convolutions 3×3; first and last layer real

    Input (batch, C, H, W) with sides of 4 pixels or more, output (batch, classes) logits. r3×3 16, BN, f | blocks
    of 16, 32, 64 channels, stride 1, 2, 2 | mean over all places | BN | dense with bias; f is `nonlinearity`, hard
    tanh by default, r a real convolution. `Residual` has the blocks. Defaults are IR-Net's and ReCU's double
    blocks, with IR-Net's shortcut: every second place and zero channels (ReCU: `downsample=average`). ReSTE's
    blocks: `shortcut=single nonlinearity=none relu_before_norm=true`. Real weights start as `kaiming_normal_`
    draws. Source: htqin/IR-Net `CIFAR-10/ResNet20`, z-hXu/ReCU `cifar/models_cifar/resnet.py`, DravenALG/ReSTE."""

    def __init__(self, config: Config, parts: Parts, input_shape: tuple[int, int, int], classes: int) -> None:
        require_side("resnet20", 4, input_shape)
        residual, width = Residual(config, parts), config.width
        super().__init__(
            parts.real_conv(input_shape[0], width, 3, padding=1),
            *([nn.ReLU()] if config.relu_before_norm else []),
            parts.norm2d("first", width, config.norm_settings("first", dense=False)),
            *residual.nonlinearity(width),
            *residual.stages(width, stages=3, blocks=3),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            parts.norm1d("hidden", 4 * width, config.norm_settings("hidden", dense=True)),
            *real_output(config, parts, 4 * width, classes),
        )
        for layer in real_layers(self):
            nn.init.kaiming_normal_(layer.weight)

    Config = Config
