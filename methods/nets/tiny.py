"""A net of a few thousand weights with every kind of layer, for tests and first looks at a method."""

from dataclasses import dataclass

from torch import nn

from configs.settings import UserError, setting

from ..binary.layers import Parts
from .base import NetConfig, output_layer


@dataclass
class Config(NetConfig):
    name: str = "tiny"
    width: int = setting(8, "channels of the convolution; the dense layer has 4×", low=1)


class Tiny(nn.Sequential):
    """for tests: one convolution 3×3 with max-pooling, one dense layer, output layer

    Input (batch, C, H, W) with sides of 4 pixels or more, output (batch, classes) logits."""

    def __init__(self, config: Config, parts: Parts, input_shape: tuple[int, int, int], classes: int) -> None:
        channels, height, width = input_shape
        if min(height, width) < 4:
            raise UserError(f"net=tiny needs images of at least 4×4 pixels, not {height}×{width}")
        features = config.width * (height // 4) * (width // 4)
        super().__init__(
            parts.conv("first", channels, config.width, 3, padding=1),
            parts.pool(4),
            parts.norm2d("first", config.width, config.norm_settings("first", dense=False)),
            parts.activation_for(config.width),
            nn.Flatten(),
            parts.linear("hidden", features, 4 * config.width),
            parts.norm1d("hidden", 4 * config.width, config.norm_settings("hidden", dense=True)),
            parts.activation_for(4 * config.width),
            *output_layer(config, parts, 4 * config.width, classes),
        )

    Config = Config
