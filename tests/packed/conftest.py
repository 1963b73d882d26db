"""Nets with random weights and batch norms, and images for them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from methods import METHODS
from methods.base import Method
from methods.nets import NETS

SHAPES = {"mlp": (1, 5, 7), "tiny": (3, 9, 8), "vgg": (3, 8, 10), "bernoulli_cnn": (1, 24, 24)}
WIDTHS = {"mlp": {"width": 65, "depth": 2}, "tiny": {"width": 7}, "vgg": {"width": 3}, "bernoulli_cnn": {"width": 5}}


@torch.no_grad()
def scramble(net: nn.Module, shape: tuple[int, int, int], generator: torch.Generator, outliers: bool) -> None:
    """Batch norms as after a training: statistics of what they are fed, γ of both signs and 0, and, as `outliers`,
    channels whose shift is larger than any sum."""

    def measure(norm: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        x = inputs[0].transpose(0, 1).flatten(1)
        norm.running_mean.copy_(x.mean(1))
        variance = x.var(1) + 1e-3
        if hasattr(norm, "running_var"):
            norm.running_var.copy_(variance)
        else:
            norm.running_inverse_std.copy_(variance.rsqrt())
        norm.weight.copy_(torch.randn(len(x), generator=generator))
        norm.bias.copy_(torch.randn(len(x), generator=generator) / 2)
        norm.weight[::5] = 0
        norm.bias[5::10] = 0
        if outliers:
            norm.bias[1::11] = 1e6
            norm.bias[2::11] = -1e6

    hooks = [m.register_forward_pre_hook(measure) for m in net.modules() if hasattr(m, "running_mean")]
    net(torch.rand(20, *shape, generator=generator) * 2 - 1)
    for hook in hooks:
        hook.remove()


def scaled(images: np.ndarray, scaling: str) -> torch.Tensor:
    """What the trained net is fed."""
    u = torch.from_numpy(images).float()
    if scaling == "binary":
        return (u > 127).float() * 2 - 1
    return (u - 127.5) / 127.5 if scaling == "symmetric" else (u - 100) / 60


@pytest.fixture(scope="session")
def images() -> Callable[..., np.ndarray]:
    def images(shape: tuple[int, int, int], count: int = 20, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)

    return images


@pytest.fixture(scope="session")
def make() -> Callable[..., Method]:
    """make("ste", "tiny") → a method whose net is scrambled, ready to evaluate."""

    def make(
        method: str,
        net: str,
        seed: int = 0,
        shape: Any = None,
        settings: Any = None,
        outliers: bool = True,
        **sizes: Any,
    ) -> Method:
        torch.manual_seed(seed)
        config = NETS[net].Config(**(WIDTHS.get(net, {}) | sizes))
        made = METHODS[method](
            METHODS[method].Config(**(settings or {})), config, shape or SHAPES[net], 10, "cross_entropy"
        )
        scramble(made.eval().net, shape or SHAPES[net], torch.Generator().manual_seed(seed), outliers)
        return made

    return make
