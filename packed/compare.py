"""Where a packed net and the net that it was made from predict differently, and by how little."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import reference
from .net import PackedNet
from .operations import Activation, PackError, Threshold


@dataclass(frozen=True)
class Difference:
    """Image `index` is of class `trained` to the one and of class `packed` to the other. `signs` are different in the
    first layer that has such, after which `layer` says the activation's name in the net. There the largest size of
    what the trained net takes the sign of is `margin`; `typical` is the root of its mean square over the image.

    A margin that is a few float32 roundings of `typical` says that the trained net's sum of real inputs, which is
    rounded, fell on the other side of 0 than the exact sum."""

    index: int
    trained: int
    packed: int
    layer: str
    signs: int
    margin: float
    typical: float

    def __str__(self) -> str:
        where = f"{self.signs} signs of layer {self.layer} differ, at most {self.margin:.1e} from 0 (typical value "
        return f"{self.trained} trained, {self.packed} packed; {where}{self.typical:.1e})"


@torch.no_grad()
def explain(net: nn.Module, packed: PackedNet, x: Tensor, images: np.ndarray) -> list[Difference]:
    """The images that are predicted differently: x is what `net` takes, `images` what `packed` takes, of the same."""
    seen: list[tuple[str, Tensor, Tensor]] = []

    def watch(name: str, module: nn.Module) -> Any:
        return module.register_forward_hook(lambda m, inputs, output: seen.append((name, inputs[0], output)))

    hooks = [watch(name, module) for name, module in net.named_modules() if not list(module.children())]
    training = net.training
    net.eval()
    try:
        logits = net(x)
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    signs = [(name, before, after) for name, before, after in seen if _signs(after) and not _signs(before)]
    signs = [one for one in signs if not any(one[1] is p for p in net.parameters())]
    mine: list[np.ndarray] = []

    def keep_signs(index: int, result: np.ndarray) -> None:
        operation = packed.operations[index]
        if isinstance(operation, Threshold) or (isinstance(operation, Activation) and operation.function == "sign"):
            mine.append(result)

    value = reference.evaluate(packed, images, keep_signs)
    if len(mine) != len(signs):
        raise PackError(f"the packed net has {len(mine)} signs, the trained net {len(signs)}")
    trained, now = logits.argmax(1).cpu().numpy(), value.argmax(1)
    found = []
    for index in map(int, np.flatnonzero(trained != now)):
        layer, count, margin, typical = _first_difference(index, signs, mine)
        found.append(Difference(index, int(trained[index]), int(now[index]), layer, count, margin, typical))
    return found


def _first_difference(
    index: int, signs: list[tuple[str, Tensor, Tensor]], mine: list[np.ndarray]
) -> tuple[str, int, float, float]:
    """(layer, signs, margin, typical) of a `Difference`; no layer where only the logits differ."""
    for (name, before, after), other in zip(signs, mine, strict=True):
        differs = after[index].float().cpu().numpy() != other[index]
        if differs.any():
            x = before[index].double().cpu().numpy()
            return name, int(differs.sum()), float(np.abs(x[differs]).max()), float(np.sqrt(np.mean(x * x)))
    return "none", 0, 0.0, 0.0


def _signs(values: Tensor) -> bool:
    return bool((values.abs() == 1).all())
