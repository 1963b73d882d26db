"""Training steps side by side in one run: `run.py` with all its callbacks against bare loops of the same computation.

    python -m benchmarks.step [--threads 1] [--rounds 5] [--steps 60] [--width 2048] [--batch 100]

The net is 784-width×3-10 on random data. Every contender takes a block of steps in turn, round after round, so that a
noisy machine disturbs all alike; the table has the median and the fastest block of each, and the ratio of the fastest
to that of the bare compiled `ste` loop.
`run.py` is the real spine, and its block is a whole epoch: Lightning, diagnostics, progress, CSV logging, and a
validation of one example. An epoch of 60 steps gives what happens once an epoch eight times its weight on MNIST.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from configs.schema import register, resolve
from datamodules.batches import Batches
from datamodules.scaling import fit
from methods import METHODS
from methods.base import Method
from methods.binary.layers import binary_layers
from methods.nets.mlp import Config
from training.trainer import prepare

SPINE = "run.py: ste, compiled"
Block = Callable[[], float]  # takes a block of steps, returns seconds a step


class RandomData(pl.LightningDataModule):
    """MNIST-shaped noise: an epoch of `steps` batches, and a validation set of one example."""

    input_shape, classes = (1, 28, 28), 10

    def __init__(self, steps: int, batch: int) -> None:
        super().__init__()
        self.fingerprint = "noise"
        images = torch.randint(0, 256, (steps * batch, *self.input_shape), dtype=torch.uint8)
        labels = torch.randint(0, self.classes, (steps * batch,))
        scale = fit("symmetric", images)
        self.batches = Batches(images, labels, batch, scale, seed=0)
        self.validation = Batches(images[:1], labels[:1], 1, scale)

    def train_dataloader(self) -> Batches:
        return self.batches

    def val_dataloader(self) -> Batches:
        return self.validation


def bare_loop(name: str, precision: str, compiled: bool, width: int, data: RandomData) -> Block:
    """The method's computation as a plain PyTorch loop: its net and optimizers, and nothing else."""
    method = METHODS[name](METHODS[name].Config(), Config(width=width), data.input_shape, data.classes, "cross_entropy")
    binary = [layer.weight for layer in binary_layers(method.net).values()]
    rest: list[Tensor] = [p for p in method.net.parameters() if not any(p is w for w in binary)]
    method.compiled = compiled
    optimizers = list(method.optimizers_of(binary, rest))
    net = torch.compile(method.net, dynamic=False) if compiled else method.net
    clips = [(p, g["clip"]) for o in optimizers for g in o.param_groups if "clip" in g for p in g["params"]]

    def step(x: Tensor, y: Tensor) -> None:
        for optimizer in optimizers:
            optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = net(x)
        F.cross_entropy(logits.float(), y).backward()
        for optimizer in optimizers:
            optimizer.step()
        with torch.no_grad():
            for p, c in clips:
                p.clamp_(-c, c)

    return _timed(step, data)


def textbook(width: int, data: RandomData) -> Block:
    """STE as tutorials have it: `W + (sign(W) − W).detach()`, float masks, unfused Adam, uncompiled."""

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


def careful(width: int, data: RandomData) -> Block:
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


def _bare(net: nn.Module, optimizer: torch.optim.Optimizer, clip: Callable[[], None], data: RandomData) -> Block:
    def step(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        clip()

    return _timed(step, data)


def _timed(step: Callable[[Tensor, Tensor], None], data: RandomData) -> Block:
    def block() -> float:
        start = time.perf_counter()
        for x, y in data.batches:
            step(x, y)
        return (time.perf_counter() - start) / len(data.batches)

    return block


class Rounds(pl.Callback):
    """Between the epochs of the `run.py` contender, gives every other contender its block, and times those epochs."""

    def __init__(self, others: dict[str, Block]) -> None:
        self.others = others
        self.times: dict[str, list[float]] = {name: [] for name in (SPINE, *others)}
        self.started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self.started:
            self.times[SPINE].append((time.perf_counter() - self.started) / int(trainer.num_training_batches))
        for name, block in self.others.items():
            self.times[name].append(block())
        self.started = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("threads", 1), ("rounds", 5), ("steps", 60), ("width", 2048), ("batch", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    data = RandomData(a.steps, a.batch)
    base = "bare loop: ste, compiled"
    others = {
        base: bare_loop("ste", "32", True, a.width, data),
        "bare loop: ste, uncompiled": bare_loop("ste", "32", False, a.width, data),
        "careful ste, uncompiled": careful(a.width, data),
        "bare loop: ste, uncompiled, bf16": bare_loop("ste", "bf16", False, a.width, data),
        "bare loop: ste, compiled, bf16": bare_loop("ste", "bf16", True, a.width, data),
        "bare loop: real, compiled": bare_loop("real", "32", True, a.width, data),
        "bare loop: bop, compiled": bare_loop("bop", "32", True, a.width, data),
        "textbook ste, uncompiled": textbook(a.width, data),
    }
    register()
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            f"net.width={a.width}",
            f"batch_size={a.batch}",
            f"epochs={a.rounds + 2}",
            "compile=true",
            "logger=csv",
        ]
        with hydra.initialize_config_dir(str(Path(__file__).resolve().parent.parent / "configs"), version_base="1.3"):
            config = resolve(hydra.compose("run", [*overrides, f"output_dir={folder}", "checkpoint_seconds=1e9"]))
        method: Method = METHODS["ste"](config.method, config.net, data.input_shape, data.classes, config.loss)
        training = prepare(config, method, data, torch.device("cpu"), Path(folder))
        rounds = Rounds(others)
        training.trainer.callbacks.insert(0, rounds)  # type: ignore[attr-defined]
        training.fit(method, data)
    # the first block compiles; the fastest one is the least disturbed
    medians = {name: statistics.median(values[1:]) for name, values in rounds.times.items()}
    fastest = {name: min(values[1:]) for name, values in rounds.times.items()}
    print(f"784-{a.width}×3-10, batch {a.batch}, {a.threads} thread(s), {a.rounds} blocks of {a.steps} steps")
    print(f"  {'ms a step':<36} {'median':>8} {'fastest':>9}   × the bare ste loop's fastest")
    for name in medians:
        ratio = fastest[name] / fastest[base]
        print(f"  {name:<36} {1e3 * medians[name]:8.1f} {1e3 * fastest[name]:9.1f}   {ratio:.2f}")


if __name__ == "__main__":
    main()
