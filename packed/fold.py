"""From a trained net to a packed one: batch norm and sign become integer thresholds, found by running them.

A threshold is not solved for. The net's own evaluation of batch norm and sign is run on every sum that a channel can
have, and the place where the result changes is stored: integer in, sign out, ties and float32 rounding included.
"""

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from .affine import norm
from .modules import operation_of, pool
from .net import INPUT, PackedNet
from .operations import BYTES, REAL, SIGNS, SUMS, Add, Input, Operation, PackError, Pool
from .sums import Sums, fit_norm, layer_of_sums, require_by_channel, threshold
from .tree import Fork, Item, Leaf, items
from .values import Values, after, input_values
from .weights import Weight, product, weights_of

PIXEL_SHIFT = 127.5  # scaling=symmetric: x = (u − 127.5)/127.5 = (2u − 255)/255


@torch.no_grad()
def fold(
    net: nn.Module,
    input_shape: tuple[int, int, int],
    scaling: str,
    *,
    shift: np.ndarray | None = None,
    scale: np.ndarray | None = None,
    info: dict[str, Any] | None = None,
) -> PackedNet:
    """`net`, an nn.Sequential (of …), as it evaluates in float32. A module in it with an attribute `adds`, the names of
    two of its children, is the sum of what these two give.

    scaling: how its inputs came from pixels u: "symmetric" x = (2u − 255)/255, "binary" ±1; any other keeps a float
    first layer, whose inputs are (u − shift)/scale channel by channel, or images that are scaled already where these
    are not given. info: plain values to keep in the file. `float32_bytes`, of the net's state, is added.

    A hidden layer's weights must be ±1, or ±α with one α > 0 an output; those of the first layer, of the last and of
    layers in shortcuts (the second of the two in `adds`) may be real. PackError, with the layer's name and why, for
    what cannot be packed."""
    net = deepcopy(net).eval()
    state_bytes = sum(t.numel() * 4 for t in net.state_dict().values())
    found = items(net)
    weights = weights_of(found)
    source = _source(scaling, next(iter(weights.values())).binary, input_shape[0], shift, scale)
    folding = _Folding(weights, input_values(source, input_shape))
    folding.sequence(found)
    if folding.at == INPUT or len(folding.passed.shape) != 1:
        raise PackError("the net does not end in a layer with weights and its batch norm")
    return PackedNet(
        input_shape,
        folding.passed.shape[0],
        source,
        tuple(folding.operations),
        {"float32_bytes": state_bytes, **(info or {})},
        tuple(folding.sources),
    )


def _source(scaling: str, binary: bool, channels: int, shift: np.ndarray | None, scale: np.ndarray | None) -> Input:
    if scaling == "binary":
        return Input(SIGNS)
    if scaling == "symmetric":
        middle = np.full(channels, PIXEL_SHIFT, np.float32)
        return Input(BYTES) if binary else Input(REAL, middle, middle)
    if shift is None or scale is None:
        return Input(REAL)
    return Input(REAL, np.asarray(shift, np.float32).reshape(-1), np.asarray(scale, np.float32).reshape(-1))


class _Folding:
    """The operations of a net, in the order in which they are found; `at` is the number of the present result."""

    def __init__(self, weights: dict[str, Weight], first: Values) -> None:
        self.weights = weights
        self.operations: list[Operation] = []
        self.sources: list[tuple[int, ...]] = []
        self.results = [first]
        self.at = INPUT

    @property
    def passed(self) -> Values:
        return self.results[self.at + 1]

    def add(self, leaf: Leaf | None, operation: Operation, *others: int) -> None:
        """The operation on the present result, and on the results `others`."""
        try:
            result = after(operation, self.passed, *(self.results[other + 1] for other in others))
        except PackError as error:
            raise PackError(f"layer {leaf}: {error}" if leaf else str(error)) from error
        self.sources.append((self.at, *others))
        self.operations.append(operation)
        self.results.append(result)
        self.at = len(self.operations) - 1

    def sequence(self, found: tuple[Item, ...]) -> None:
        position = 0
        while position < len(found):
            item = found[position]
            position += 1
            if isinstance(item, Fork):
                self.fork(item)
            elif item.has_weights:
                end = position
                while end < len(found) and _stays_in_stage(found[end]):
                    end += 1
                self.stage(item, [leaf for leaf in found[position:end] if isinstance(leaf, Leaf)])
                position = end
            else:
                self.keep_real([item])

    def fork(self, item: Fork) -> None:
        start = self.at
        self.sequence(item.branches[0])
        branch, self.at = self.at, start
        self.sequence(item.branches[1])
        shortcut, self.at = self.at, branch
        try:
            self.add(None, Add(), shortcut)
        except PackError as error:
            raise PackError(f"layer {item.name}: {error}") from error

    def stage(self, leaf: Leaf, rest: list[Leaf]) -> None:
        """A layer with weights and what follows it, up to the next, the end of a branch, or a change of shape."""
        kind, weight = self.passed.kind, self.weights[leaf.name]
        multiplied = product(leaf, weight)
        self.add(leaf, multiplied)
        layer: Any = leaf.module
        if self.passed.kind == SUMS:
            sums = Sums.of(multiplied, kind, weight.scale, layer.weight.device)
            self.fold_sums(leaf, rest, sums.through(layer_of_sums(layer)))
        else:
            self.scale_real(leaf, weight)
            self.keep_real(rest)

    def fold_sums(self, leaf: Leaf, rest: list[Leaf], sums: Sums) -> None:
        """Pooling that comes before batch norm pools sums. What comes after it is pooled as signs: the largest of a
        monotone function's values is its value at the largest or the smallest sum, and the largest sign the sign of
        the largest. Where no sign follows, the sums become real by their batch norm."""
        while rest and isinstance(rest[0].module, nn.MaxPool2d):
            sums.require_rising(f"layer {leaf}")
            self.add(rest[0], pool(rest.pop(0)))
        pools: list[tuple[Leaf, Pool]] = []
        real: tuple[Sums, int] | None = None  # the sums' last affine function, and what follows it
        for position, item in enumerate(rest):
            if isinstance(item.module, nn.MaxPool2d):
                real = real or (sums, position)
                pools.append((item, pool(item)))
                continue
            require_by_channel(item, sums)
            before, sums = sums, sums.through(item.module)
            if switch := threshold(sums, item.name):
                self.add(item, switch)
                for place, pooling in pools:
                    self.add(place, pooling)
                self.keep_real(rest[position + 1 :])
                return
            if pools:
                break
            if not hasattr(item.module, "running_mean"):
                real = real or (before, position)
        sums, position = real or (sums, len(rest))
        self.add(leaf, fit_norm(sums, rest[position - 1].name if position else leaf.name))
        self.keep_real(rest[position:])

    def scale_real(self, leaf: Leaf, weight: Weight) -> None:
        """After real sums: bias and scale of the weights as one more affine map."""
        layer: Any = leaf.module
        scale = weight.scale if weight.binary else np.ones_like(weight.scale)
        bias = np.zeros_like(scale) if layer.bias is None else layer.bias.detach().float().cpu().numpy()
        if hasattr(layer, "product"):
            function = layer_of_sums(layer)
            probe = torch.tensor([-1.0, 0.0, 2.0], device=layer.weight.device).view(-1, 1).expand(-1, len(scale))
            probe = probe if isinstance(layer, nn.Linear) else probe[:, :, None, None]
            if not torch.equal(function(probe) - function(torch.zeros_like(probe)), probe):
                raise PackError(f"layer {leaf} needs signs or pixels as its inputs")
        if (scale != 1).any() or bias.any():
            self.add(leaf, norm(np.zeros_like(scale), scale, bias))

    def keep_real(self, rest: list[Leaf]) -> None:
        """Modules as they are."""
        for leaf in rest:
            if isinstance(leaf.module, nn.LayerNorm):
                raise PackError(f"layer {leaf} mixes channels: it is no threshold of a sum")
            if operation := operation_of(leaf, self.passed):
                self.add(leaf, operation)


def _stays_in_stage(item: Item) -> bool:
    """Whether it is computed from each channel of sums by itself, or pools them."""
    others = nn.Linear | nn.Conv2d | nn.Flatten | nn.AvgPool2d | nn.AdaptiveAvgPool2d | nn.ZeroPad2d | nn.ZeroPad3d
    return isinstance(item, Leaf) and not isinstance(item.module, others)
