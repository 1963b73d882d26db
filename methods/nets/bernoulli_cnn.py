"""The small convolutional net of the naive Bernoulli slides, for binary images of 24×24 pixels."""

from dataclasses import dataclass

from torch import nn

from configs.settings import UserError, setting

from ..binary.layers import Parts, Role
from .base import NetConfig, output_layer

STRIDE = 2


@dataclass
class Config(NetConfig):
    name: str = "bernoulli_cnn"
    width: int = setting(8, "channels of the first convolution; then come 4×, 8× and 10× as many units", low=1)
    first_kernel: int = setting(6, "side of the first convolution's kernel", low=1)
    second_kernel: int = setting(10, "side of the second convolution's kernel", low=1)


class BernoulliCNN(nn.Sequential):
    """the naive Bernoulli slides' net: 8C6s2-32C10s2-64FC-80FC-10, for `dataset.center_crop=24 dataset.scaling=binary`

    Input (batch, C, H, W), output (batch, classes) logits. Each hidden layer has batch norm and activation; on 24×24
    pixels the convolutions give 10×10 and 1×1 places, and sums of 36, 800, 32, 64 and 80 terms: all even. Source:
    slides, Pavlyuchenkov 2023. The crop is ours (the slides' 32 inputs of the dense layer ask for it). Differs from
    them: the output layer has batch norm, as in the other nets here (`output_norm=false`: none).
    UserError for smaller images."""

    def __init__(self, config: Config, parts: Parts, input_shape: tuple[int, int, int], classes: int) -> None:
        channels, height, width = input_shape
        least = config.first_kernel + STRIDE * (config.second_kernel - 1)
        if min(height, width) < least:
            raise UserError(f"net=bernoulli_cnn needs images of at least {least}×{least} pixels, not {height}×{width}")
        modules: list[nn.Module] = []
        convolutions: list[tuple[Role, int, int]] = [
            ("first", config.first_kernel, config.width),
            ("hidden", config.second_kernel, 4 * config.width),
        ]
        for role, kernel, features in convolutions:
            modules.append(parts.conv(role, channels, features, kernel, stride=STRIDE))
            modules += [parts.norm2d(role, features, config.norm_settings(role, dense=False))]
            modules.append(parts.activation_for(features))
            channels, height, width = features, (height - kernel) // STRIDE + 1, (width - kernel) // STRIDE + 1
        modules.append(nn.Flatten())
        features = channels * height * width
        for units in (8 * config.width, 10 * config.width):
            modules.append(parts.linear("hidden", features, units))
            modules.append(parts.norm1d("hidden", units, config.norm_settings("hidden", dense=True)))
            modules.append(parts.activation_for(units))
            features = units
        super().__init__(*modules, *output_layer(config, parts, features, classes))

    Config = Config
