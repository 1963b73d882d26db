"""What the benchmarks of training steps share: contenders that take turns, `run.py` as one of them, and a table."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import hydra
import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from configs.schema import CONFIGS, register, resolve
from datamodules.base import DataConfig, DataModule, Examples
from methods import METHODS
from methods.binary.layers import binary_layers
from training.recording import new_record
from training.run import Run
from training.trainer import prepare

Block = Callable[[], float]  # takes a block of steps, returns seconds a step


class Noise(DataModule):
    """Random images and labels: an epoch of `steps` batches, and a validation set of one example."""

    Config, label, classes = DataConfig, "noise", 10

    def __init__(self, shape: tuple[int, int, int], steps: int, batch: int) -> None:
        super().__init__(DataConfig("noise"), "", batch_size=batch, seed=0, split_seed=0)
        self.shape, self.count = shape, steps * batch + 1
        self.setup("fit")

    def read_train(self) -> Examples:
        images = torch.randint(0, 256, (self.count, *self.shape), dtype=torch.uint8)
        return Examples(images, torch.randint(0, self.classes, (self.count,)))

    def draw_validation(self, labels: np.ndarray) -> np.ndarray:
        return np.arange(1)


def clock() -> float:
    """Seconds. With one thread they are the process' CPU time, which leaves out what else the machine was doing."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def timed(step: Callable[[Tensor, Tensor], None], data: DataModule) -> Block:
    """A block: `step` on every batch of an epoch of `data`."""
    batches = data.train_dataloader()

    def block() -> float:
        start = clock()
        for x, y in batches:
            step(x, y)
        return (clock() - start) / len(batches)

    return block


def bare_loop(
    name: str, net: Any, data: DataModule, precision: str = "32", compiled: bool = False, channels_last: bool = False
) -> Block:
    """The method's computation as a plain PyTorch loop: its net (of this Config) and optimizers, and nothing else."""
    method = METHODS[name](METHODS[name].Config(), net, data.input_shape, data.classes, "cross_entropy")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    method.net.to(memory_format=layout)
    binary = [layer.weight for layer in binary_layers(method.net).values()]
    rest: list[Tensor] = [p for p in method.net.parameters() if not any(p is w for w in binary)]
    method.compiled = compiled
    optimizers = list(method.optimizers_of(binary, rest))
    forward = torch.compile(method.net, dynamic=False) if compiled else method.net
    clips = [(p, g["clip"]) for o in optimizers for g in o.param_groups if "clip" in g for p in g["params"]]

    def step(x: Tensor, y: Tensor) -> None:
        for optimizer in optimizers:
            optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = forward(x.to(memory_format=layout))
        F.cross_entropy(logits.float(), y).backward()
        for optimizer in optimizers:
            optimizer.step()
        with torch.no_grad():
            for p, c in clips:
                p.clamp_(-c, c)

    return timed(step, data)


class Rounds(pl.Callback):
    """Between the epochs of a run, gives every other contender its block, and times those epochs."""

    def __init__(self, others: dict[str, Block]) -> None:
        self.others = others
        self.own: list[float] = []
        self.times: dict[str, list[float]] = {name: [] for name in others}
        self.started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self.started:
            self.own.append((clock() - self.started) / int(trainer.num_training_batches))
        for name, block in self.others.items():
            self.times[name].append(block())
        self.started = clock()


def side_by_side(
    spine: str, overrides: Sequence[str], data: DataModule, others: dict[str, Block], rounds: int
) -> dict[str, list[float]]:
    """Contender → seconds a step of each of its blocks, `rounds` of them after one that warms up.

    The first contender, `spine`, is `run.py` with these overrides, on `data`: Lightning, diagnostics, progress, CSV
    log. Its block is a whole epoch, with the validation."""
    register()
    with tempfile.TemporaryDirectory() as folder, hydra.initialize_config_dir(CONFIGS, version_base="1.3"):
        places = [f"output_dir={folder}", f"results_dir={folder}", "checkpoint_seconds=1e9", "logger=csv"]
        budget = [f"epochs={rounds + 2}", f"batch_size={data.batch_size}"]
        run = Run(resolve(hydra.compose("run", [*overrides, *budget, *places])))
        config = run.config
        method = METHODS[config.method.name](config.method, config.net, data.input_shape, data.classes, config.loss)
        training = prepare(run, data, method, new_record(run, data, method, "a benchmark"))
        taken = Rounds(others)
        training.trainer.callbacks.insert(0, taken)  # type: ignore[attr-defined]
        training.fit()
    return {spine: taken.own[1:], **{name: values[1:-1] for name, values in taken.times.items()}}


def table(times: dict[str, list[float]], base: str, batch: int) -> str:
    """A line a contender: median and fastest block, images/s of the fastest, and its time as a multiple of `base`'s."""
    least = min(times[base])
    lines = [f"  {'':<40} {'median ms':>9} {'fastest ms':>10} {'images/s':>9}   × time of “{base}”"]
    for name, values in times.items():
        fastest = min(values)
        lines.append(
            f"  {name:<40} {1e3 * statistics.median(values):9.1f} {1e3 * fastest:10.1f} {batch / fastest:9.0f}   "
            f"{fastest / least:.2f}"
        )
    return "\n".join(lines)
