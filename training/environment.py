"""Where a run took place: versions, processor, accelerator, commit."""

import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch

from configs.registry import ROOT

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy")
MADE = ("results/runs", "results/trials", "results/packed", "results/perturbed", "configs/tuned")  # by runs: no code


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, machine and commit as plain values; a value that cannot be had is None."""
    name, dirty = commit()
    return {
        "python": platform.python_version(),
        **{name.replace("-", "_"): importlib.metadata.version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device.type),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "commit": name,
        "dirty": dirty,
    }


@cache
def commit() -> tuple[str | None, bool | None]:
    """The commit of the code, and whether there are changes beside it, as this process first finds them; None where
    git does not tell. What runs made is no code, and a record has all its settings."""
    name = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", ".", *(f":!{folder}" for folder in MADE)) if name else None
    return name, None if changes is None else bool(changes)


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what it was given, so that a clock can be read."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def forget_peak_memory(device: torch.device) -> None:
    """`peak_memory` is counted from here on, as one process may have many runs."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int:
    """Largest memory held since `forget_peak_memory`, in bytes: tensors on a CUDA device, else the whole process'
    resident memory (other systems than Linux tell only its largest since the process began)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def load_average() -> float | None:
    """Processes that ran or waited in the last minute: beyond this run's own threads, its seconds were shared ones."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):  # not on Windows
        return None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
