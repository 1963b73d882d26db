"""Where a packed net and the net that it was made from predict differently, and by how little."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import reference
from .net import PackedNet
from .operations import Activation, Conv, Dense, PackError, Pool, Threshold
from .tree import Leaf, items, leaves


@dataclass(frozen=True)
class Difference:
    """Image `index` is of class `trained` to the one and of class `packed` to the other. `signs` are different in the
    first layer that has such, after which `layer` says the activation's name in the net; it is empty where only logits
    differ. There the largest size of what the trained net takes the sign of is `margin`; `typical` is the root of its
    mean square over the image.

    A layer of the Bernoulli method makes a step of its sums, z = 1 where S ≥ 0, before batch norm sees them. Where that
    is the cause, `step` is this layer's name, and `margin` and `typical` are those of its sums: of all that lie on
    another side of 0 in a channel whose sign differs. What batch norm makes of z is far from 0 there.

    A margin that is a few float32 roundings of `typical` says that the trained net's sum of real inputs, which is
    rounded, fell on the other side of 0 than the exact sum."""

    index: int
    trained: int
    packed: int
    layer: str
    signs: int
    margin: float
    typical: float
    step: str = ""

    def __str__(self) -> str:
        where = f"{self.signs} signs of layer {self.layer} differ, " if self.layer else "no sign differs, only logits"
        if self.step:
            where += f"by the step of layer {self.step}, of sums "
        if self.layer:
            where += f"at most {self.margin:.1e} from 0 (typical value {self.typical:.1e})"
        return f"{self.trained} trained, {self.packed} packed; {where}"


@dataclass(frozen=True)
class _Call:
    """What a module of the trained net took and gave, of the images that are looked at; of a layer whose output is the
    step of its sums, these `sums`."""

    leaf: Leaf
    before: Tensor
    after: Tensor
    sums: Tensor | None

    @property
    def is_sign(self) -> bool:
        """Whether it made signs of other values. (A layer's steps can be 1 at all places, and the largest of them.)"""
        other = self.leaf.has_weights or isinstance(self.leaf.module, nn.MaxPool2d)
        return not other and _are_signs(self.after) and not _are_signs(self.before)


@torch.no_grad()
def explain(
    net: nn.Module, packed: PackedNet, x: Tensor, images: np.ndarray, places: Sequence[int] | np.ndarray | None = None
) -> list[Difference]:
    """The images that are predicted differently: x is what `net` takes, `images` what `packed` takes, of the same.

    places: the images that are looked at (None: all). `net` computes all of x nevertheless, since the rounding of a
    product depends on how many images there are. PackError where the nets' signs cannot be told side by side."""
    chosen = np.arange(len(images)) if places is None else np.asarray(places)
    logits, calls = _run(net, x, torch.from_numpy(chosen).to(x.device))
    signs = [i for i, call in enumerate(calls) if call.is_sign]
    mine: list[list[np.ndarray]] = []  # signs, and what each pool behind them makes of them
    sums: list[np.ndarray] = []
    pooled = -1  # the operation that gave the last of these

    def keep(index: int, result: np.ndarray) -> None:
        nonlocal pooled
        operation = packed.operations[index]
        if isinstance(operation, Threshold) or (isinstance(operation, Activation) and operation.function == "sign"):
            mine.append([result])
            pooled = index
        elif isinstance(operation, Pool) and mine and packed.graph[index] == (pooled,):
            mine[-1].append(result)
            pooled = index
        if isinstance(operation, Dense | Conv):
            sums.append(result)

    value = reference.evaluate(packed, images[chosen], keep)
    if len(mine) != len(signs):
        raise PackError(f"the packed net has {len(mine)} signs, the trained net {len(signs)}")
    same = [_before_pools(results, calls[i:]) for i, results in zip(signs, mine, strict=True)]
    trained, now = logits.argmax(1).cpu().numpy(), value.argmax(1)
    found = []
    for row in map(int, np.flatnonzero(trained != now)):
        where = _first_difference(row, calls, signs, same, sums)
        found.append(Difference(int(chosen[row]), int(trained[row]), int(now[row]), **where))
    return found


def _run(net: nn.Module, x: Tensor, chosen: Tensor) -> tuple[Tensor, list[_Call]]:
    """Logits of the chosen images, and what each module of the tree took and gave, in order."""
    found = [leaf for leaf, _ in leaves(items(net))]
    seen: list[tuple[nn.Module, Tensor, Tensor, Tensor | None]] = []

    def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sums = _sums_of_step(module, inputs[0], output)
        seen.append((module, inputs[0][chosen], output[chosen], None if sums is None else sums[chosen]))

    hooks = [module.register_forward_hook(see) for module in {leaf.module for leaf in found}]
    training = net.training
    net.eval()
    try:
        logits = net(x)[chosen]
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    if [module for module, *_ in seen] != [leaf.module for leaf in found]:
        raise PackError("the trained net's modules do not run in the order of its structure")
    return logits, [
        _Call(leaf, before, after, sums) for leaf, (_, before, after, sums) in zip(found, seen, strict=True)
    ]


def _sums_of_step(module: nn.Module, x: Tensor, output: Tensor) -> Tensor | None:
    """The sums of a layer that gives 1 where they are ≥ 0 and else 0; None of any other module."""
    layer: Any = module
    if not hasattr(layer, "product") or not hasattr(layer, "quantizer"):
        return None
    sums = layer.product(x, layer.quantizer(layer.weight))
    return sums if torch.equal((sums >= 0).to(output.dtype), output) else None


def _before_pools(results: list[np.ndarray], calls: list[_Call]) -> np.ndarray:
    """Of the packed net's signs and their pools, what is in the place of the first call. Pools that the trained net has
    before its sign are behind it in the packed net; those that it has behind it, too, come after them."""
    behind = list(takewhile(lambda call: isinstance(call.leaf.module, nn.MaxPool2d), calls[1:]))
    sign = calls[0]
    place = len(results) - 1 - len(behind)
    if place < 0 or results[place].shape != sign.after.shape:
        raise PackError(f"layer {sign.leaf}: the packed net has no signs of its shape")
    return results[place]


def _first_difference(
    row: int, calls: list[_Call], signs: list[int], mine: list[np.ndarray], sums: list[np.ndarray]
) -> dict[str, Any]:
    """`layer`, `signs`, `margin`, `typical` and `step` of a `Difference`. `signs` are the places among the calls of
    those that are signs; `mine` and `sums` the packed net's signs and the results of its products, in order."""
    for place, other in zip(signs, mine, strict=True):
        call = calls[place]
        differs = _array(call.after[row]) != other[row]
        if differs.any():
            layers = [c for c in calls[:place] if c.leaf.has_weights]
            found = {"layer": call.leaf.name, "signs": int(differs.sum())}
            step = layers[-1] if layers else call
            if step.sums is not None:
                at = _array(step.sums[row])
                crossed = (at >= 0) != (sums[len(layers) - 1][row] >= 0)
                crossed &= _by_channel(differs).reshape(-1, *[1] * (crossed.ndim - 1))
                if (_by_channel(crossed) == _by_channel(differs)).all():
                    return found | _sizes(at, crossed) | {"step": step.leaf.name}
            return found | _sizes(_array(call.before[row]), differs)
    return {"layer": "", "signs": 0, "margin": 0.0, "typical": 0.0}


def _sizes(x: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    return {"margin": float(np.abs(x[chosen]).max()), "typical": float(np.sqrt(np.mean(x * x)))}


def _by_channel(chosen: np.ndarray) -> np.ndarray:
    """Whether any place of a channel is chosen (channels,)."""
    return np.asarray(chosen.reshape(len(chosen), -1).any(1))


def _array(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()


def _are_signs(values: Tensor) -> bool:
    return bool((values.abs() == 1).all())
