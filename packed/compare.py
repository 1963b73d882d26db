"""Where a packed net and the net that it was made from predict differently, and by how little."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from . import reference
from .operations import PackedNet, PackError, Threshold


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
        return f"image {self.index}: {self.trained} trained, {self.packed} packed; {where}{self.typical:.1e})"


@torch.no_grad()
def explain(net: nn.Module, packed: PackedNet, x: Tensor, images: np.ndarray) -> list[Difference]:
    """The images that are predicted differently: x is what `net` takes, `images` what `packed` takes, of the same."""
    seen: list[tuple[str, Tensor, Tensor]] = []
    hooks = []
    for name, module in net.named_modules():
        if not list(module.children()) or isinstance(getattr(module, "function", None), nn.Module):
            hooks.append(module.register_forward_hook(lambda m, i, o, name=name: seen.append((name, i[0], o))))
    training = net.training
    net.eval()
    try:
        logits = net(x)
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    weights = {id(getattr(m, "weight", None)) for m in net.modules()}
    signs = [(name, before, after) for name, before, after in seen if id(before) not in weights and _signs(after)]
    value, mine = reference.read(packed.input, images), []
    for operation, before, _ in packed.steps():
        value = reference.apply(operation, value, before)
        if isinstance(operation, Threshold):
            mine.append(value)
    if len(mine) != len(signs):
        raise PackError(f"the packed net has {len(mine)} thresholds, the trained net {len(signs)} signs")
    trained, now = logits.argmax(1).cpu().numpy(), value.argmax(1)
    found = []
    for index in np.flatnonzero(trained != now):
        for (name, before, after), other in zip(signs, mine, strict=True):
            one, another = before[index].cpu().numpy(), after[index].cpu().numpy() != other[index]
            if another.any():
                break
        else:
            name, another = "none", np.zeros(one.shape, bool)
        typical = float(np.sqrt(np.mean(np.square(one, dtype=np.float64))))
        margin = float(np.abs(one[another]).max(initial=0))
        found.append(
            Difference(int(index), int(trained[index]), int(now[index]), name, int(another.sum()), margin, typical)
        )
    return found


def _signs(values: Tensor) -> bool:
    return bool((values.abs() == 1).all())
