"""From a trained net to a packed one: batch norm and sign become integer thresholds, found by running them.

A threshold is not solved for. The net's own evaluation of batch norm and sign is run on every sum that a channel can
have, and the place where the result changes is stored: integer in, sign out, ties and float32 rounding included.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .operations import (
    BYTES,
    FUNCTIONS,
    REAL,
    SIGNS,
    SUMS,
    Activation,
    Conv,
    Dense,
    Flatten,
    Input,
    Norm,
    Operation,
    PackedNet,
    PackError,
    Pool,
    Values,
    after,
    pack_signs,
)
from .reference import activate
from .sums import Sums, fit_norm, threshold

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
    """`net`, an nn.Sequential (of …), as it evaluates in float32.

    scaling: how its inputs came from pixels u: "symmetric" x = (2u − 255)/255, "binary" ±1; any other keeps a float
    first layer, whose inputs are (u − shift)/scale channel by channel, or images that are scaled already where these
    are not given. info: plain values to keep in the file. `float32_bytes`, of the net's state, is added.

    A hidden layer's weights must be ±1, or ±α with one α > 0 an output; the first and the last layer's may be real.
    PackError, with the layer's name and why, for what cannot be packed."""
    net = deepcopy(net).eval()
    state_bytes = sum(t.numel() * 4 for t in net.state_dict().values())
    stages = _stages(net)
    weights = [_weight(stage.layer) for stage in stages]
    _check_weights(stages, weights)
    source = _source(scaling, weights[0].binary, input_shape[0], shift, scale)
    first = Values(source.kind, tuple(input_shape), {BYTES: 255, SIGNS: 1}.get(source.kind, 0))
    operations: list[Operation] = []
    for stage, weight in zip(stages, weights, strict=True):
        folding = _Folding(stage, weight, first)
        operations += folding.run()
        first = folding.passed
    classes = first.shape[0]
    return PackedNet(input_shape, classes, source, tuple(operations), {"float32_bytes": state_bytes, **(info or {})})


@dataclass
class _Stage:
    """A layer with weights, what stands before it that has none, and what follows up to the next."""

    name: str
    layer: nn.Module
    flatten: bool
    rest: list[tuple[str, nn.Module]] = field(default_factory=list)


@dataclass
class _Weight:
    """Weight in evaluation: `signs` times `scale` (outputs,) where `binary`, else `signs` is the real weight."""

    signs: np.ndarray
    scale: np.ndarray
    binary: bool


def _leaves(net: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(net, nn.Sequential):
        raise PackError(f"{prefix or 'the net'} ({type(net).__name__}) is not a sequence of layers")
    for name, module in net.named_children():
        if isinstance(module, nn.Sequential):
            yield from _leaves(module, f"{prefix}{name}.")
        elif not isinstance(module, nn.Dropout | nn.Dropout2d | nn.Identity):
            yield prefix + name, module


def _stages(net: nn.Module) -> list[_Stage]:
    stages: list[_Stage] = []
    flatten = False
    for name, module in _leaves(net):
        if isinstance(module, nn.Linear | nn.Conv2d):
            stages.append(_Stage(name, module, flatten))
            flatten = False
        elif isinstance(module, nn.Flatten):
            flatten = True
        elif isinstance(module, nn.LayerNorm):
            raise PackError(f"layer {name} ({type(module).__name__}) mixes channels: it is no threshold of a sum")
        elif not stages or flatten:
            raise PackError(f"layer {name} ({type(module).__name__}) stands where none can be packed")
        else:
            stages[-1].rest.append((name, module))
    if not stages or flatten:
        raise PackError("the net does not end in a layer with weights and its batch norm")
    return stages


def _weight(layer: nn.Module) -> _Weight:
    quantizer = getattr(layer, "quantizer", None)
    weight: Tensor = layer.weight if quantizer is None else quantizer(layer.weight)  # type: ignore[assignment]
    w = weight.detach().float().cpu().numpy()
    size = np.abs(w).reshape(len(w), -1)
    scale = size[:, 0]
    binary = bool((size == scale[:, None]).all() and (scale > 0).all())
    return _Weight(np.sign(w) if binary else w, scale, binary)


def _check_weights(stages: list[_Stage], weights: list[_Weight]) -> None:
    real = [f"{s.name} ({type(s.layer).__name__})" for s, w in zip(stages, weights, strict=True) if not w.binary]
    if len(real) == len(stages):
        raise PackError(f"layer {real[0]} has real weights, and so has every other: there is nothing to pack")
    for stage, weight in list(zip(stages, weights, strict=True))[1:-1]:
        if not weight.binary:
            raise PackError(
                f"layer {stage.name} ({type(stage.layer).__name__}) has real weights: "
                "only the first and the last layer may have them in a packed net"
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
    """The operations of one stage, in the order in which they are found."""

    def __init__(self, stage: _Stage, weight: _Weight, passed: Values) -> None:
        self.stage, self.weight, self.passed = stage, weight, passed
        self.operations: list[Operation] = []

    def run(self) -> list[Operation]:
        if self.stage.flatten and len(self.passed.shape) == 3:
            self.add(Flatten())
        kind = self.passed.kind
        self.add(self.product())
        if self.passed.kind == SUMS:
            layer: Any = self.stage.layer
            sums = Sums.of(self.operations[-1], kind, self.weight.scale, layer.weight.device)
            self.fold_sums(sums.through(_layer_of_sums(layer)))
        else:
            self.keep_real()
        return self.operations

    def add(self, operation: Operation) -> None:
        try:
            self.passed = after(operation, self.passed)
        except PackError as error:
            raise PackError(f"layer {self.stage.name} ({type(self.stage.layer).__name__}): {error}") from error
        self.operations.append(operation)

    def product(self) -> Dense | Conv:
        layer: Any = self.stage.layer
        w = self.weight.signs
        if isinstance(layer, nn.Linear):
            return Dense(layer.in_features, pack_signs(w) if self.weight.binary else w)
        same = [getattr(layer, name) for name in ("stride", "padding", "dilation")]
        if layer.groups != 1 or layer.padding_mode != "zeros" or any(_one(value) is None for value in same):
            raise PackError(f"layer {self.stage.name}: only plain convolutions with zero padding can be packed")
        stride, padding, dilation = map(_one, same)
        if dilation != 1:
            raise PackError(f"layer {self.stage.name}: a dilated convolution cannot be packed")
        w = np.ascontiguousarray(w.transpose(0, 2, 3, 1))
        return Conv(layer.in_channels, padding or 0, stride or 1, pack_signs(w) if self.weight.binary else w)

    def fold_sums(self, sums: Sums) -> None:
        """Pooling that comes before batch norm pools sums. What comes after it is pooled as signs: the largest of a
        monotone function's values is its value at the largest or the smallest sum, and the largest sign the sign of
        the largest."""
        rest = list(self.stage.rest)
        while rest and isinstance(rest[0][1], nn.MaxPool2d):
            sums.require_rising(f"layer {self.stage.name} ({type(self.stage.layer).__name__})")
            self.add(_pool(*rest.pop(0)))
        pools: list[Operation] = []
        for position, (name, module) in enumerate(rest):
            if isinstance(module, nn.MaxPool2d):
                pools.append(_pool(name, module))
                continue
            _require_by_channel(name, module, sums)
            before, sums = sums, sums.through(module)
            if switch := threshold(sums, name):
                self.add(switch)
                for pool in pools:
                    self.add(pool)
                self.keep_real_from(rest[position + 1 :])
                return
            if not hasattr(module, "running_mean"):
                self.add(fit_norm(before, name))
                for pool in pools:
                    self.add(pool)
                self.keep_real_from(rest[position:])
                return
        self.add(fit_norm(sums, self.stage.name))
        for pool in pools:
            self.add(pool)

    def keep_real(self) -> None:
        """After real sums: bias and scale of the weights as one more affine map, then every module as it is."""
        layer: Any = self.stage.layer
        scale = self.weight.scale if self.weight.binary else np.ones_like(self.weight.scale)
        bias = np.zeros_like(scale) if layer.bias is None else layer.bias.detach().float().cpu().numpy()
        function = _layer_of_sums(layer)
        probe = torch.tensor([-1.0, 0.0, 2.0], device=layer.weight.device).view(-1, 1).expand(-1, len(scale))
        probe = probe if isinstance(layer, nn.Linear) else probe[:, :, None, None]
        if not torch.equal(function(probe) - function(torch.zeros_like(probe)), probe):
            raise PackError(f"layer {self.stage.name} ({type(layer).__name__}) needs signs or pixels as its inputs")
        if (scale != 1).any() or bias.any():
            self.add(_norm(np.zeros_like(scale), scale, bias))
        self.keep_real_from(self.stage.rest)

    def keep_real_from(self, rest: list[tuple[str, nn.Module]]) -> None:
        for name, module in rest:
            if isinstance(module, nn.MaxPool2d):
                self.add(_pool(name, module))
            elif hasattr(module, "running_mean"):
                self.add(_affine(module, self.passed))
            else:
                self.add(_activation(name, module))


def _layer_of_sums(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """What a layer makes of its sums S: S itself and its bias, or what it does after the `product` that it defines."""
    if not hasattr(layer, "product"):
        bias = getattr(layer, "bias", None)
        return lambda s: s if bias is None else s + bias.view(-1, *[1] * (s.dim() - 2))
    layer = deepcopy(layer)
    layer.product = lambda x, w: x  # type: ignore[assignment]
    return layer


def _require_by_channel(name: str, module: nn.Module, sums: Sums) -> None:
    """PackError where a value that comes out of `module` depends on another channel or place, as in layer norm: half of
    the values are changed, and the others must stay what they were."""
    shape = (2, sums.channels, 2, 2) if sums.maps else (2, sums.channels)
    x, other, chosen = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)).to(sums.device)
    kept = chosen < 0.5
    if not torch.equal(module(x)[kept], module(torch.where(kept, x, other))[kept]):
        raise PackError(f"layer {name} ({type(module).__name__}) mixes channels: what follows is no threshold of a sum")


def _one(value: Any) -> int | None:
    """3 of 3 and of (3, 3), None of all else."""
    sides = set(value) if isinstance(value, tuple) else {value}
    (side, *others) = sides
    return side if isinstance(side, int) and not others else None


def _pool(name: str, module: Any) -> Pool:
    size = _one(module.kernel_size)
    plain = _one(module.stride) == size and _one(module.padding) == 0 and _one(module.dilation) == 1
    if size is None or not plain or module.ceil_mode:
        raise PackError(f"layer {name} (MaxPool2d): only windows side by side can be packed")
    return Pool(size)


def _affine(module: Any, passed: Values) -> Operation:
    """A batch norm on real values: `f(x) = x·(f(1) − f(0)) + f(0)`, found in float64."""
    wide = deepcopy(module).double()
    x = torch.zeros(2, passed.shape[0], *[1] * (len(passed.shape) - 1), dtype=torch.float64)
    x[1] = 1
    y = wide(x.to(module.running_mean.device)).flatten(1).cpu().numpy()
    return _norm(np.zeros(passed.shape[0]), y[1] - y[0], y[0])


def _norm(center: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Operation:
    return Norm(*(np.ascontiguousarray(values, np.float32) for values in (center, scale, shift)))


def _activation(name: str, module: nn.Module) -> Activation:
    grid = torch.cat((torch.linspace(-3, 3, 61), torch.tensor([-1e-30, 0.0, -0.0, 1e-30])))
    try:
        values = module(grid[:, None])[:, 0].detach().float().numpy()
    except Exception as error:
        raise PackError(f"layer {name} ({type(module).__name__}) cannot be packed") from error
    for function in FUNCTIONS:
        if np.allclose(values, activate(function, grid.numpy()), rtol=1e-6, atol=0):
            return Activation(function)
    raise PackError(f"layer {name} ({type(module).__name__}) is none of {', '.join(FUNCTIONS)}: it cannot be packed")
