"""The operation that a single module of a trained net is, on real values."""

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from .affine import closest_scale, norm
from .operations import FUNCTIONS, Activation, Average, Flatten, Norm, Operation, PackError, Pad, Pool, Prelu
from .reference import activate
from .tree import Leaf
from .values import Values

PROBES = 257  # inputs at which the rounding of a batch norm is looked at


def operation_of(leaf: Leaf, x: Values) -> Operation | None:
    """What the module makes of real values x; None of one that changes nothing. PackError where it cannot be packed."""
    module = leaf.module
    match module:
        case nn.MaxPool2d():
            return pool(leaf)
        case nn.Flatten():
            return Flatten() if len(x.shape) == 3 else None
        case nn.AdaptiveAvgPool2d():
            if one(module.output_size) != 1 or len(x.shape) != 3:
                raise PackError(f"layer {leaf}: only averages over all places can be packed")
            return Average(*x.shape[1:])
        case nn.AvgPool2d():
            return _average(leaf)
        case nn.ZeroPad2d() | nn.ZeroPad3d():
            left, right, top, bottom, *channels = module.padding
            before, after = channels or (0, 0)
            return Pad(before, after, top, bottom, left, right)
        case nn.PReLU():
            slope = module.weight.detach().float().cpu().numpy()
            return Prelu(np.array(np.broadcast_to(slope, x.shape[:1])))
        case _ if hasattr(module, "running_mean"):
            return _affine(module, x)
    return _activation(leaf)


def one(value: Any) -> int | None:
    """3 of 3 and of (3, 3), None of all else."""
    sides = set(value) if isinstance(value, tuple) else {value}
    (side, *others) = sides
    return side if isinstance(side, int) and not others else None


def pool(leaf: Leaf) -> Pool:
    module: Any = leaf.module
    size, stride, padding = (one(getattr(module, name)) for name in ("kernel_size", "stride", "padding"))
    if size is None or stride is None or padding is None or one(module.dilation) != 1 or module.ceil_mode:
        raise PackError(f"layer {leaf}: only plain square windows can be packed")
    return Pool(size, 0 if stride == size else stride, padding)


def _average(leaf: Leaf) -> Average:
    module: Any = leaf.module
    size = one(module.kernel_size)
    plain = one(module.stride) == size and one(module.padding) == 0 and module.divisor_override is None
    if size is None or not plain or not module.ceil_mode:
        raise PackError(f"layer {leaf}: only averages of windows side by side, with ceil_mode, can be packed")
    return Average(size, size)


def _affine(module: Any, x: Values) -> Norm:
    """A batch norm as `(x − center)·scale + shift`: center is 0 and shift its value there, or center its running mean
    and shift its bias; scale is that of the floats around its slope, and of the two the start, with which most values
    at the PROBES come out to the bit."""
    shape, device = (-1, x.shape[0], *[1] * (len(x.shape) - 1)), module.running_mean.device
    mean = module.running_mean.detach().double()
    span = torch.linspace(-8, 8, PROBES, dtype=torch.float64, device=device)[:, None]
    probes = (mean + span * (1 + mean.abs())).float()
    probes[0] = 0
    values = module(probes.view(shape)).flatten(1).float().cpu().numpy()
    wide = deepcopy(module).double()
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device=device)[:, None].expand(-1, x.shape[0])
    low, high = wide(ends.reshape(shape)).flatten(1).cpu().numpy()
    starts = [(np.zeros(x.shape[0], np.float32), values[0].astype(np.float64))]
    if module.bias is not None:
        starts.append((mean.float().cpu().numpy(), module.bias.detach().double().cpu().numpy()))
    fits = []
    for center, shift in starts:
        centered = (probes.cpu().numpy() - center).astype(np.float64)
        scale, misses = closest_scale(centered, values, (high - low).astype(np.float32), shift)
        fits.append((misses.sum(), norm(center, scale, shift)))
    return min(fits, key=lambda fit: fit[0])[1]


def _activation(leaf: Leaf) -> Activation:
    far = torch.tensor([10.0, 1e3, 1e6])  # where ReLU6, say, is no ReLU
    grid = torch.cat((torch.linspace(-3, 3, 61), torch.tensor([-1e-30, 0.0, -0.0, 1e-30]), far, -far))
    try:
        values = leaf.module(grid[:, None])[:, 0].detach().float().numpy()
    except Exception as error:
        raise PackError(f"layer {leaf} cannot be packed") from error
    for function in FUNCTIONS:
        if np.allclose(values, activate(function, grid.numpy()), rtol=1e-6, atol=0):
            return Activation(function)
    raise PackError(f"layer {leaf} is none of {', '.join(FUNCTIONS)}: it cannot be packed")
