"""Bi-Real Net of 18 layers for ImageNet: a shortcut around every binary convolution."""

from dataclasses import dataclass

from torch import nn

from configs.settings import setting

from ..binary.layers import Parts
from .residual import DOWNSAMPLINGS, NONLINEARITIES, Residual, ResidualConfig, real_layers, real_output, require_side


@dataclass
class Config(ResidualConfig):
    name: str = "birealnet18"
    width: int = setting(64, "channels of the first stage; the others have 2×, 4× and 8×", low=1)
    norm_eps: float | None = setting(1e-3, "ε of batch norm (1e-5 in the PyTorch code)", above=0)
    norm_factor: float = setting(0.2, "weight of a new batch in its running statistics (0.1 there)", above=0, high=1)
    downsample: str = setting("average_conv", "shortcut where the shape changes, as in resnet20", choices=DOWNSAMPLINGS)
    nonlinearity: str = setting("none", "after each sum (hardtanh: IR-Net, ReCU)", choices=NONLINEARITIES)
    first_nonlinearity: bool = setting(False, "it stands behind the first layer, too (IR-Net, ReCU)")
    dense_norm: bool = setting(False, "batch norm before the last layer (IR-Net, ReCU, ReSTE)")


class BiRealNet18(nn.Sequential):
    """Bi-Real Net 18 for ImageNet: 16 binary convolutions, each with a shortcut; first and last layer real

    Input (batch, C, H, W) with sides of 32 pixels or more, published for 3×224×224; output (batch, classes) logits.
    r7×7/2 64, BN, max-pool 3/2 | 16 times `y = BN(b3×3(sign x)) + S(x)`, 4 each of 64, 128, 256, 512 channels at
    sides 56, 28, 14, 7 | mean over all places | dense with bias. S is x; at the first of stages 2 to 4, of stride
    2, it is the average over 2×2, r1×1, BN. There is no other non-linearity. IR-Net's and ReCU's ResNet-18 for
    ImageNet is `nonlinearity=hardtanh first_nonlinearity=true downsample=conv dense_norm=true`, ReSTE's
    `relu_before_norm=true downsample=conv dense_norm=true`, with norm_eps=1e-5 norm_factor=0.1. Real weights start as
    Glorot's normal draws. Padding is symmetric, as in the PyTorch code; TensorFlow's is larger on one side, and gives
    the same sides. Source: Liu et al. 2018, arXiv 1808.00278; CuauSuarez/Bop2ndOrder `birealnet_batch.py`, whose batch
    norm is the default."""

    def __init__(self, config: Config, parts: Parts, input_shape: tuple[int, int, int], classes: int) -> None:
        require_side("birealnet18", 32, input_shape)
        residual, width = Residual(config, parts), config.width
        norm = config.norm_settings("hidden", dense=True)
        super().__init__(
            parts.real_conv(input_shape[0], width, 7, padding=3, stride=2),
            *([nn.ReLU()] if config.relu_before_norm else []),
            parts.norm2d("first", width, config.norm_settings("first", dense=False)),
            *(residual.nonlinearity(width) if config.first_nonlinearity else []),
            parts.pool(3, stride=2, padding=1),
            *residual.stages(width, stages=4, blocks=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            *([parts.norm1d("hidden", 8 * width, norm)] if config.dense_norm else []),
            *real_output(config, parts, 8 * width, classes),
        )
        for layer in real_layers(self):
            nn.init.xavier_normal_(layer.weight)

    Config = Config
