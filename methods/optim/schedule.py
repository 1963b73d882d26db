"""Hyperparameters as functions of training progress: rate, threshold τ, adaptivity rates γ and σ, scaler."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

Curve = Callable[[float], float]
KINDS = ("constant", "linear", "polynomial", "exponential", "staircase", "cosine")


def curve(kind: str, start: float, end: float, *, power: float = 2.0, stairs: int = 5) -> Curve:
    """The function of progress `t ∈ [0, 1)` that goes from `start` (t = 0) towards `end` (t = 1).

    | kind | value at t |
    |---|---|
    | constant | start |
    | linear | start + (end − start)·t |
    | polynomial | end + (start − end)·(1 − t)^power |
    | exponential | start·(end/start)^t |
    | staircase | start·(end/start)^(k/(stairs−1)), k = ⌊t·stairs⌋: equal stairs, the last of them at end |
    | cosine | end + (start − end)·(1 + cos πt)/2 |

    Raises ValueError for an unknown kind, and where a geometric kind is asked to reach or to start from 0."""
    if kind in ("exponential", "staircase") and not (start > 0 and end > 0):
        raise ValueError(f"an {kind} schedule goes between positive values, not from {start:g} to {end:g}")
    if kind == "staircase" and stairs < 2:
        raise ValueError(f"a staircase has at least 2 stairs, not {stairs}")
    curves: dict[str, Curve] = {
        "constant": lambda t: start,
        "linear": lambda t: start + (end - start) * t,
        "polynomial": lambda t: end + (start - end) * (1 - t) ** power,
        "exponential": lambda t: start * (end / start) ** t,
        # the sliver is for the rounding of t: in floats, 29/50·50 lies below 29
        "staircase": lambda t: start * (end / start) ** (math.floor(t * stairs + 1e-9) / (stairs - 1)),
        "cosine": lambda t: end + (start - end) * (1 + math.cos(math.pi * t)) / 2,
    }
    if kind not in curves:
        raise ValueError(f"unknown schedule '{kind}' (valid: {', '.join(KINDS)})")
    return curves[kind]


class Schedules:
    """Sets `group[name] = curve(t)·group[name + "_scale"]` in every param group that has `name`, at every step.

    `curves` maps hyperparameter names to functions of progress t = step/total (`every="step"`) or, constant within an
    epoch, t = epoch/epochs (`every="epoch"`, how BinaryNet's code does it). A group without a scale has scale 1."""

    def __init__(
        self, optimizer: Optimizer, curves: dict[str, Curve], steps_per_epoch: int, epochs: int, every: str = "step"
    ) -> None:
        self.optimizer = optimizer
        self.curves = curves
        self.total = steps_per_epoch * epochs
        self.grain = steps_per_epoch if every == "epoch" else 1
        self.steps = 0
        self._apply()

    def step(self) -> None:
        self.steps += 1
        self._apply()

    def _apply(self) -> None:
        # the step after the last one is never taken; its t stays below 1, where a staircase would climb too far
        t = min(self.steps, self.total - 1) // self.grain * self.grain / self.total
        for name, value in self.curves.items():
            for group in self.optimizer.param_groups:
                if name in group:
                    group[name] = value(t) * group.get(name + "_scale", 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        self._apply()
