"""The settings that all nets share: their normalizations."""

from dataclasses import dataclass

from torch import nn

from configs.settings import setting

from ..binary.layers import Parts, Role
from ..binary.normalization import KINDS, RUNNING, NormSettings


@dataclass
class NetConfig:
    """Settings of every net."""

    name: str = ""
    norm: str = setting("batch", "batch norm, or layer norm over the channels", choices=KINDS)
    norm_eps: float | None = setting(None, "its ε; null: 1e-4 (1e-5 where it is shift-based)", above=0)
    norm_factor: float = setting(0.1, "weight of a new batch in batch norm's running statistics", above=0, high=1)
    norm_factor_dense: float | None = setting(None, "the same in dense layers; null: equal", above=0, high=1)
    norm_factor_output: float | None = setting(None, "the same after the last layer; null: equal", above=0, high=1)
    norm_scale: bool = setting(True, "batch norm learns its scale γ (false in Bop's net, where γ stays 1)")
    norm_affine: bool = setting(True, "it learns scale and shift at all (false in BayesBiNN's nets: γ = 1, β = 0)")
    norm_running: str = setting("variance", "what runs on: variance, its root, or the inverse of that", choices=RUNNING)
    output_norm: bool = setting(True, "the last layer has one too")

    def norm_settings(self, role: Role, *, dense: bool) -> NormSettings:
        """What the net asks of the normalization behind a layer of this role, `dense` or a convolution."""
        factor = (self.norm_factor_dense or self.norm_factor) if dense else self.norm_factor
        if role == "output":
            factor = self.norm_factor_output or factor
        scale = (self.norm_scale or self.norm == "layer") and self.norm_affine
        return NormSettings(self.norm, self.norm_eps, factor, scale, self.norm_affine, self.norm_running)


def output_layer(
    config: NetConfig, parts: Parts, features: int, classes: int, *, after_dropout: bool = False
) -> list[nn.Module]:
    """The layer that gives the logits, and its normalization where the net has one there."""
    layer = parts.linear("output", features, classes, after_dropout=after_dropout)
    if not config.output_norm:
        return [layer]
    return [layer, parts.norm1d("output", classes, config.norm_settings("output", dense=True))]
