"""VGG-Small of the literature on CIFAR: six convolutions, the first of them real, and one real dense layer."""

import math
from dataclasses import dataclass

from torch import nn

from configs.settings import setting

from ..binary.layers import Parts, Role
from .residual import NONLINEARITIES, RealEndsConfig, real_layers, real_output, require_side


@dataclass
class Config(RealEndsConfig):
    name: str = "vgg_small"
    width: int = setting(128, "channels of the first two convolutions; later pairs have 2× and 4×", low=1)
    nonlinearity: str = setting("hardtanh", "after batch norm", choices=NONLINEARITIES)
    relu_before_norm: bool = setting(False, "ReLU between convolution and batch norm (ReSTE, with nonlinearity=none)")
    pool_after_norm: bool = setting(False, "max-pooling after batch norm, not before it (ReSTE)")


class VGGSmall(nn.Sequential):
    """VGG-Small for CIFAR: 6 convolutions 3×3 in 3 pairs with max-pooling, then one dense layer; both ends real

    Input (batch, C, H, W) with sides of 8 pixels or more, output (batch, classes) logits. r: real, b: binary, HT: hard
    tanh. r128, BN, HT | b128, MP2, BN, HT | b256, BN, HT | b256, MP2, BN, HT | b512, BN, HT | b512, MP2, BN, HT |
    flatten | dense with bias. Before each b stands a sign. Real weights start from N(0, 2/(9·outputs)) in the
    convolution and N(0, 0.01²) in the dense layer. ReSTE's net is `nonlinearity=none relu_before_norm=true
    pool_after_norm=true`, SiMaN's `nonlinearity=prelu`. Source: z-hXu/ReCU `cifar/models_cifar/vgg.py`, htqin/IR-Net
    `CIFAR-10/VGG-Small/vgg.py`."""

    def __init__(self, config: Config, parts: Parts, input_shape: tuple[int, int, int], classes: int) -> None:
        require_side("vgg_small", 8, input_shape)
        channels, height, width = input_shape
        modules: list[nn.Module] = [parts.real_conv(channels, config.width, 3, padding=1)]
        role: Role = "first"
        for number in range(6):
            features = config.width * 2 ** (number // 2)
            if number:
                role = "hidden"
                modules.append(parts.activation_for(channels))
                modules.append(parts.conv(role, channels, features, 3, padding=1))
            pool = [parts.pool(2)] if number % 2 else []
            norm = parts.norm2d(role, features, config.norm_settings(role, dense=False))
            modules += [nn.ReLU()] if config.relu_before_norm else []
            modules += [norm, *pool] if config.pool_after_norm else [*pool, norm]
            modules += NONLINEARITIES[config.nonlinearity](features)
            channels = features
        features = channels * (height // 8) * (width // 8)
        super().__init__(*modules, nn.Flatten(), *real_output(config, parts, features, classes))
        for layer in real_layers(self):
            nn.init.normal_(layer.weight, 0, math.sqrt(2 / (9 * config.width)) if layer.bias is None else 0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    Config = Config
