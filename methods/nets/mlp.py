"""The multilayer perceptron of BinaryNet: 784-4096×3-10 is `width=4096 depth=3`."""

from dataclasses import dataclass

from torch import nn

from configs.settings import setting

from ..binary.layers import Parts, Role
from .base import NetConfig, output_layer


@dataclass
class Config(NetConfig):
    name: str = "mlp"
    width: int = setting(1024, "units of each hidden layer", low=1)
    depth: int = setting(3, "hidden layers", low=1)
    widths: list[int] = setting([], "units of each hidden layer, in place of width and depth", low=1)
    dropout_input: float = setting(0.0, "share of input values dropped in training", low=0, below=1)
    dropout_hidden: float = setting(0.0, "share of hidden activations dropped in training", low=0, below=1)


class MLP(nn.Sequential):
    """fully connected: depth × (linear, batch norm, activation), linear, batch norm

    Input (batch, C, H, W) real in [−1, 1], output (batch, classes) logits. The last layer has batch norm, no sign."""

    def __init__(self, config: Config, parts: Parts, input_shape: tuple[int, int, int], classes: int) -> None:
        channels, height, width = input_shape
        features = channels * height * width
        modules: list[nn.Module] = [nn.Flatten()]
        if config.dropout_input:
            modules.append(nn.Dropout(config.dropout_input))
        role: Role = "first"
        dropped = config.dropout_input > 0
        for units in config.widths or [config.width] * config.depth:
            modules.append(parts.linear(role, features, units, after_dropout=dropped))
            modules += [parts.norm1d(role, units, config.norm_settings(role, dense=True)), parts.activation_for(units)]
            if config.dropout_hidden:
                modules.append(nn.Dropout(config.dropout_hidden))
            role, features, dropped = "hidden", units, config.dropout_hidden > 0
        super().__init__(*modules, *output_layer(config, parts, features, classes, after_dropout=dropped))

    Config = Config
