"""BinaryNet's ConvNet: 2×128C3-P2-2×256C3-P2-2×512C3-P2-2×1024FC-10 is `width=128`; half width is `width=64`."""

from dataclasses import dataclass

from torch import nn

from configs.settings import UserError, setting

from ..binary.layers import Parts, Role


@dataclass
class Config:
    name: str = "vgg"
    width: int = setting(128, "channels of the first block; later blocks have 2× and 4×, the dense layers 8×", low=1)
    first_padding: int = setting(1, "zero padding of the first convolution (0 in Bop's net)", low=0, high=1)
    norm_scale: bool = setting(True, "batch norm learns its scale γ (false in Bop's net, where γ stays 1)")


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
                modules += [parts.norm2d(role, features, scale=config.norm_scale), parts.activation()]
                channels = features
        if min(height, width) < 1:
            raise UserError(
                "net=vgg needs images of at least 8×8 pixels (10×10 with first_padding=0), "
                f"not {input_shape[1]}×{input_shape[2]}"
            )
        modules.append(nn.Flatten())
        features = channels * height * width
        for _ in range(2):
            modules.append(parts.linear("hidden", features, 8 * config.width))
            modules += [parts.norm1d("hidden", 8 * config.width, scale=config.norm_scale), parts.activation()]
            features = 8 * config.width
        modules.append(parts.linear("output", features, classes))
        super().__init__(*modules, parts.norm1d("output", classes, scale=config.norm_scale))

    Config = Config
