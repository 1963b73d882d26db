"""Time and memory of one step of each optimizer here, beside Adam(fused=True).

    python -m benchmarks.optimizers --threads 1

All optimizers step in turn within one run, on the same fresh gradients, in an order that rotates; the table gives
medians and their ratio to Adam's. About 3 % of the weights of Bop and Bop2ndOrder flip in each step, as early in a
schedule. "unchecked" leaves out the look for non-finite gradients, which Adam does not do either. Moments are float32,
but Adam's are of the weights' dtype, so a bfloat16 row also gives the ratio to Adam with float32 weights. Peak extra
memory is what a step holds at most beyond what was held before it. With one thread on a CPU times are CPU times, else
wall times.
"""

import argparse
import ctypes
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from methods.optim import BayesBiNN, Bop, Bop2ndOrder, PBop, ShiftAdaMax
from training.environment import synchronize

VGG: list[tuple[int, ...]] = [
    (128, 3, 3, 3),
    (128, 128, 3, 3),
    (256, 128, 3, 3),
    (256, 256, 3, 3),
    (512, 256, 3, 3),
    (512, 512, 3, 3),
]
VGG += [(1024, 8192), (1024, 1024), (10, 1024)]
FLIPPED = 1.88  # a standard normal exceeds this with probability 3 %


def shapes(kind: str, parameters: int) -> list[tuple[int, ...]]:
    """Shapes of about that many parameters: one tensor, or VGG's list shortened in its largest layer."""
    if kind == "one":
        return [(parameters,)]
    rest = sum(torch.Size(s).numel() for s in VGG if s != (1024, 8192))
    return [s if s != (1024, 8192) else (1024, max(1, round((parameters - rest) / 1024))) for s in VGG]


def optimizers(dtype: torch.dtype) -> dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]]:
    """Name in the table → optimizer and its settings, of those that take weights of this dtype."""
    cases: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {}
    cases["Adam fused"] = torch.optim.Adam, {"fused": True}
    modes: list[tuple[str, dict[str, Any]]] = [
        ("eager", {}),
        ("compiled", {"compiled": True}),
        ("compiled unchecked", {"compiled": True, "check_finite": False}),
    ]
    for mode, options in modes:
        cases[f"Bop {mode}"] = Bop, {"gamma": 1.0, "threshold": FLIPPED, **options}
        cases[f"Bop2ndOrder {mode}"] = Bop2ndOrder, {"gamma": 1.0, "sigma": 0.01, "threshold": FLIPPED, **options}
        cases[f"BayesBiNN {mode}"] = BayesBiNN, {"alpha": 1e-3, "momentum": 0.9, "examples": 100, **options}
        cases[f"ShiftAdaMax {mode}"] = ShiftAdaMax, options
        if dtype == torch.float32:
            cases[f"PBop {mode}"] = PBop, {"gamma": 0.01, "sigma": 0.01, "scaler": 1e-3, **options}
    return cases


def parameters(name: str, sizes: list[tuple[int, ...]], dtype: torch.dtype, device: str) -> list[Tensor]:
    """Random weights of these sizes: ±1, or probabilities for PBop."""
    draws = [torch.rand(s, device=device) for s in sizes]
    if not name.startswith("PBop"):
        draws = [torch.where(d < 0.5, -1.0, 1.0) for d in draws]
    return [torch.nn.Parameter(d.to(dtype)) for d in draws]


def peak_extra_bytes(step: Callable[[], Any], device: str) -> int | None:
    """The most memory that a step holds beyond what was held before it; None where that cannot be measured."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - before
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return None
    ctypes.CDLL(None).malloc_trim(0)  # or memory freed earlier would be used again, unseen
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident("VmRSS")
    step()
    return resident("VmHWM") - before


def resident(field: str) -> int:
    """A figure of the process' memory, in bytes, by its name in /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def measure(sizes: list[tuple[int, ...]], dtypes: list[torch.dtype], device: str, repeats: int) -> list[list[str]]:
    """The table's rows, one for each dtype and optimizer: dtype, name, median ms a step, its ratio to Adam of the same
    dtype and to Adam with float32, bytes of state a weight, peak extra MiB."""
    gradients = {t: [torch.empty(s, dtype=t, device=device) for s in sizes] for t in dtypes}
    cases: list[tuple[torch.dtype, str, list[Tensor], torch.optim.Optimizer]] = []
    for dtype in dtypes:
        for name, (optimizer_class, options) in optimizers(dtype).items():
            held = parameters(name, sizes, dtype, device)
            for p, g in zip(held, gradients[dtype], strict=True):
                p.grad = g
            cases.append((dtype, name, held, optimizer_class(held, **options)))

    # one thread's CPU time leaves out what else the machine was doing
    clock = time.thread_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    times: list[list[float]] = [[] for _ in cases]
    warm_up = 3
    for repeat in range(warm_up + repeats):
        for g in (g for gs in gradients.values() for g in gs):
            g.normal_()
        for i in range(len(cases)):
            i = (i + repeat) % len(cases)
            synchronize(torch.device(device))
            start = clock()
            cases[i][3].step()
            synchronize(torch.device(device))
            times[i].append(clock() - start)

    median = [statistics.median(t[warm_up:]) for t in times]
    adam = {dtype: m for (dtype, name, *_), m in zip(cases, median, strict=True) if name == "Adam fused"}
    rows = []
    for (dtype, name, held, optimizer), seconds in zip(cases, median, strict=True):
        state = sum(t.nbytes for s in optimizer.state.values() for t in s.values() if isinstance(t, Tensor) and t.dim())
        extra = peak_extra_bytes(optimizer.step, device)
        rows.append(
            [
                str(dtype).removeprefix("torch."),
                name,
                f"{seconds * 1e3:.2f}",
                f"{seconds / adam[dtype]:.2f}",
                f"{seconds / adam[torch.float32]:.2f}" if torch.float32 in adam else "",
                f"{state / sum(p.numel() for p in held):.0f}",
                "n/a" if extra is None else f"{extra / 2**20:.1f}",
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parameters", type=int, default=10**7)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--device", default="cpu")
    dtypes = ["float32", "bfloat16"]
    parser.add_argument("--dtypes", nargs="+", default=dtypes, choices=dtypes)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    print(f"torch {torch.__version__}, {args.device}, {args.threads} threads, medians of {args.repeats} steps\n")
    head = ["list", "weights", "optimizer", "ms", "× Adam", "× Adam float32", "state B/weight", "peak extra MiB"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for kind in ("one", "vgg"):
        sizes = shapes(kind, args.parameters)
        for row in measure(sizes, [getattr(torch, name) for name in args.dtypes], args.device, args.repeats):
            print("| " + " | ".join([kind, *row]) + " |", flush=True)


if __name__ == "__main__":
    main()
