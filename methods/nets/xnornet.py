"""XNOR-Net's AlexNet for ImageNet: batch norm and sign before each binary convolution."""

from dataclasses import dataclass, replace

from torch import nn

from configs.settings import UserError, setting

from ..binary.layers import Parts, Role
from ..binary.normalization import NormSettings
from .residual import RealEndsConfig, real_output

LEAST = 60  # pixels of a side, so that the last pooling has a window
EPS: dict[Role, float] = {"first": 1e-5, "hidden": 1e-4, "output": 1e-3}


@dataclass
class Config(RealEndsConfig):
    name: str = "xnornet"
    width: int = setting(96, "channels of the first layer; the others have 8/3, 4, 4 and 8/3 times as many", low=1)
    dense: int | None = setting(None, "outputs of layers 6 and 7; null: 128/3 times the width", low=1)
    norm_eps: float | None = setting(
        None, "ε of batch norm; null: 1e-5 after layer 1, 1e-4 before signs, 1e-3 before the last layer", above=0
    )


class XNORNet(nn.Sequential):
    """XNOR-Net for ImageNet: AlexNet with batch norm and sign before each of 6 binary layers; first and last real

    Input (batch, C, S, S) with S ≥ 60, published for 3×224×224; output (batch, classes) logits. r11×11/4 96, BN, ReLU,
    max-pool 3/2 | BN, sign, b5×5 256, max-pool 3/2 | BN, sign, b3×3 384 | the same | BN, sign, b3×3 256, max-pool 3/2
    | BN, sign, b6×6 4096 without padding | BN, sign, b1×1 4096 | BN, ReLU, dense without bias. Sides 56, 27, 13, 6, 1;
    for other images layer 6 covers the maps that there are. The first convolution pads 3 before and 4 after, as
    TensorFlow does. No scaling factors: before batch norm they change nothing. Counts of parameters in larq's zoo are
    without γ (`norm_scale=false`). Source: Rastegari et al. 2016, arXiv 1603.05279; CuauSuarez/Bop2ndOrder
    `xnor_batch.py`; larq/zoo `xnornet.py`. UserError for other images."""

    def __init__(self, config: Config, parts: Parts, input_shape: tuple[int, int, int], classes: int) -> None:
        channels, height, width = input_shape
        if height != width or height < LEAST:
            raise UserError(f"net=xnornet needs square images of at least {LEAST}×{LEAST} pixels, not {height}×{width}")
        first, dense = config.width, config.dense or config.width * 128 // 3
        more, most = first * 8 // 3, first * 4
        side = _pooled((height - 4) // 4 + 1)
        modules: list[nn.Module] = [
            nn.ZeroPad2d((3, 4, 3, 4)),
            parts.real_conv(channels, first, 11, stride=4),
            parts.norm2d("first", first, _norm(config, "first")),
            nn.ReLU(),
            parts.pool(3, stride=2),
        ]
        last = _pooled(_pooled(side))
        layers = [(5, 2, more, True), (3, 1, most, False), (3, 1, most, False), (3, 1, more, True)]
        channels = first
        for kernel, padding, outputs, pooled in [*layers, (last, 0, dense, False), (1, 0, dense, False)]:
            modules.append(parts.norm2d("hidden", channels, _norm(config, "hidden")))
            modules.append(parts.activation_for(channels))
            modules.append(parts.conv("hidden", channels, outputs, kernel, padding=padding))
            modules += [parts.pool(3, stride=2)] if pooled else []
            channels = outputs
        modules += [parts.norm2d("hidden", dense, _norm(config, "output")), nn.ReLU(), nn.Flatten()]
        super().__init__(*modules, *real_output(config, parts, dense, classes, bias=False))

    Config = Config


def _pooled(side: int) -> int:
    """The side after max-pooling 3/2 without padding."""
    return (side - 3) // 2 + 1


def _norm(config: Config, role: Role) -> NormSettings:
    settings = config.norm_settings("first" if role == "first" else "hidden", dense=False)
    return replace(settings, eps=config.norm_eps or EPS[role])
