"""The weights of a trained net's layers, as a packed net keeps them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from .modules import one
from .operations import Conv, Dense, PackError, pack_signs
from .tree import Item, Leaf, layers


@dataclass
class Weight:
    """Weight in evaluation: `signs` times `scale` (outputs,) where `binary`, else `signs` is the real weight."""

    signs: np.ndarray
    scale: np.ndarray
    binary: bool


def _weight_of(layer: nn.Module) -> Weight:
    quantizer = getattr(layer, "quantizer", None)
    weight: Tensor = layer.weight if quantizer is None else quantizer(layer.weight)  # type: ignore[assignment]
    w = weight.detach().float().cpu().numpy()
    size = np.abs(w).reshape(len(w), -1)
    scale = size[:, 0]
    binary = bool((size == scale[:, None]).all() and (scale > 0).all())
    return Weight(np.sign(w) if binary else w, scale, binary)


def weights_of(found: tuple[Item, ...]) -> dict[str, Weight]:
    """Of every layer that has some, by its name. PackError where there is nothing to pack, or a hidden one is real."""
    places = list(layers(found))
    if not places:
        raise PackError("the net does not end in a layer with weights and its batch norm")
    weights = {leaf.name: _weight_of(leaf.module) for leaf, _ in places}
    real = [leaf for leaf, _ in places if not weights[leaf.name].binary]
    if len(real) == len(places):
        raise PackError(f"layer {real[0]} has real weights, and so has every other: there is nothing to pack")
    for leaf, in_shortcut in places[1:-1]:
        if not weights[leaf.name].binary and not in_shortcut:
            raise PackError(
                f"layer {leaf} has real weights: "
                "only the first and the last layer and shortcuts may have them in a packed net"
            )
    return weights


def product(leaf: Leaf, weight: Weight) -> Dense | Conv:
    layer: Any = leaf.module
    w = weight.signs
    if isinstance(layer, nn.Linear):
        return Dense(layer.in_features, pack_signs(w) if weight.binary else w)
    same = [getattr(layer, name) for name in ("stride", "padding", "dilation")]
    if layer.groups != 1 or layer.padding_mode != "zeros" or any(one(value) is None for value in same):
        raise PackError(f"layer {leaf.name}: only plain convolutions with zero padding can be packed")
    stride, padding, dilation = map(one, same)
    if dilation != 1:
        raise PackError(f"layer {leaf.name}: a dilated convolution cannot be packed")
    w = np.ascontiguousarray(w.transpose(0, 2, 3, 1))
    return Conv(layer.in_channels, padding or 0, stride or 1, pack_signs(w) if weight.binary else w)
