"""Training steps side by side in one run: `run.py` with all its callbacks against bare loops of the same computation.

    python -m benchmarks.step [--threads 1] [--rounds 5] [--steps 60] [--width 2048] [--batch 100]

The net is 784-width×3-10 on random data. Every contender takes a block of steps in turn, round after round, so that a
noisy machine disturbs all alike; the table has the median and the fastest block of each, and the ratio of the fastest
to that of the bare compiled `ste` loop.
`run.py` is the real spine, and its block is a whole epoch: Lightning, diagnostics, progress, CSV logging, and a
validation of one example. An epoch of 60 steps gives what happens once an epoch eight times its weight on MNIST.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.base import DataModule
from methods.nets.mlp import Config as MLPConfig

from .interleaved import Block, Noise, bare_loop, side_by_side, table, timed


def textbook(width: int, data: DataModule) -> Block:
    """STE as tutorials have it: `W + (sign(W) − W).detach()`, float masks, unfused Adam, eager."""

    class Layer(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            w = self.weight + (torch.where(self.weight >= 0, 1.0, -1.0) - self.weight).detach()
            return F.linear(x, w)

    class Sign(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            soft = x.clamp(-1, 1)
            return soft + (torch.where(x >= 0, 1.0, -1.0) - soft).detach()

    net, weights = _mlp(Layer, Sign, width)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, foreach=False, fused=False)

    @torch.no_grad()
    def clip() -> None:
        for w in weights:
            w.clamp_(-1, 1)

    return _bare(net, optimizer, clip, data)


def careful(width: int, data: DataModule) -> Block:
    """STE as a careful author writes it without a compiler: autograd functions, copysign, fused Adam, foreach clamp.

    Nothing in it is the project's code. `x + 0.0` makes +0.0 of −0.0, so that the sign of both is +1."""

    class SignOfWeight(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, w: Tensor) -> Tensor:
            return torch.copysign(one, w + 0.0)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            return grads[0]

    class SignOfActivation(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return torch.copysign(one, x + 0.0)

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            return grads[0] * (ctx.saved_tensors[0].abs() <= 1)

    class Layer(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, SignOfWeight.apply(self.weight))

    class Sign(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return SignOfActivation.apply(x)

    one = torch.ones(())
    net, weights = _mlp(Layer, Sign, width)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, fused=True)

    @torch.no_grad()
    def clip() -> None:
        torch._foreach_clamp_min_(weights, -1)
        torch._foreach_clamp_max_(weights, 1)

    return _bare(net, optimizer, clip, data)


def _mlp(layer: type[nn.Linear], sign: type[nn.Module], width: int) -> tuple[nn.Module, list[Tensor]]:
    """The net of these layers and signs, and its latent weights, which start from U(−1, 1)."""
    modules: list[nn.Module] = [nn.Flatten()]
    for features in (784, width, width):
        modules += [layer(features, width, bias=False), nn.BatchNorm1d(width, eps=1e-4), sign()]
    modules += [layer(width, 10, bias=False), nn.BatchNorm1d(10, eps=1e-4)]
    weights = [nn.init.uniform_(m.weight, -1, 1) for m in modules if isinstance(m, layer)]
    return nn.Sequential(*modules), weights


def _bare(net: nn.Module, optimizer: torch.optim.Optimizer, clip: Callable[[], None], data: DataModule) -> Block:
    def step(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        clip()

    return timed(step, data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("threads", 1), ("rounds", 5), ("steps", 60), ("width", 2048), ("batch", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    data, net = Noise((1, 28, 28), a.steps, a.batch), MLPConfig(width=a.width)
    base = "bare loop: ste, compiled"
    others = {
        base: bare_loop("ste", net, data, compiled=True),
        "bare loop: ste, eager": bare_loop("ste", net, data),
        "careful ste, eager": careful(a.width, data),
        "textbook ste, eager": textbook(a.width, data),
        "bare loop: ste, compiled, bf16": bare_loop("ste", net, data, "bf16", compiled=True),
        "bare loop: ste, eager, bf16": bare_loop("ste", net, data, "bf16"),
        "bare loop: real, compiled": bare_loop("real", net, data, compiled=True),
        "bare loop: bop, compiled": bare_loop("bop", net, data, compiled=True),
    }
    overrides = [f"net.width={a.width}", "compile=true"]
    times = side_by_side("run.py: ste, compiled", overrides, data, others, a.rounds)
    print(
        f"784-{a.width}×3-10, batch {a.batch}, torch {torch.__version__}, {a.threads} thread(s), "
        f"{a.rounds} blocks of {a.steps} steps"
    )
    print(table(times, base, a.batch))


if __name__ == "__main__":
    main()
