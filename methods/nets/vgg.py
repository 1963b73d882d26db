"""BinaryNet's ConvNet: 2×128C3-P2-2×256C3-P2-2×512C3-P2-2×1024FC-10 is `width=128`; SVHN's, of half width but
for its dense layers, is `width=64 dense=1024`."""

from dataclasses import dataclass

from torch import nn

from configs.settings import UserError, setting

from ..binary.layers import Parts, Role
from .base import NetConfig, output_layer


@dataclass
class Config(NetConfig):
    name: str = "vgg"
    width: int = setting(128, "channels of the first block; later blocks have 2× and 4×", low=1)
    dense: int | None = setting(None, "units of each dense layer; null: 8 times the width", low=1)
    first_padding: int = setting(1, "zero padding of the first convolution (0 in Bop's net)", low=0, high=1)


class VGG(nn.Sequential):
    """BinaryNet's ConvNet: 6 convolutions 3×3 in 3 blocks with max-pooling, 2 dense layers, output layer

    Input (batch, C, H, W) with sides of 8 pixels or more, output (batch, classes) logits. In a block: convolution,
    max-pool (its second), batch norm, activation. UserError where the images are too small for three poolings."""

    def __init__(self, config: Config, parts: Parts, input_shape: tuple[int, int, int], classes: int) -> None:
        channels, height, width = input_shape
        modules: list[nn.Module] = []
        for block in range(3):
            for conv in range(2):
                features = config.width * 2**block
                padding = config.first_padding if not modules else 1
                role: Role = "hidden" if modules else "first"
                modules.append(parts.conv(role, channels, features, 3, padding=padding))
                height, width = height + 2 * padding - 2, width + 2 * padding - 2
                if conv == 1:
                    modules.append(parts.pool(2))
                    height, width = height // 2, width // 2
                modules.append(parts.norm2d(role, features, config.norm_settings(role, dense=False)))
                modules.append(parts.activation_for(features))
                channels = features
        if min(height, width) < 1:
            raise UserError(
                "net=vgg needs images of at least 8×8 pixels (10×10 with first_padding=0), "
                f"not {input_shape[1]}×{input_shape[2]}"
            )
        modules.append(nn.Flatten())
        features = channels * height * width
        units = config.dense or 8 * config.width
        for _ in range(2):
            modules.append(parts.linear("hidden", features, units))
            modules.append(parts.norm1d("hidden", units, config.norm_settings("hidden", dense=True)))
            modules.append(parts.activation_for(units))
            features = units
        super().__init__(*modules, *output_layer(config, parts, features, classes))

    Config = Config
