"""Hyperparameters as functions of training progress: rate, threshold τ, adaptivity rates γ and σ, scaler."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer

Schedule = Callable[[float], float]  # progress in [0, 1] → value
EVERY = ("step", "epoch", "epoch_end")
SCHEDULES = ("constant", "linear", "polynomial", "exponential", "staircase", "cosine", "milestones")


def schedule(
    kind: str,
    start: float,
    end: float,
    *,
    power: float = 2.0,
    stairs: int = 5,
    milestones: Sequence[tuple[float, float]] = (),
) -> Schedule:
    """The function of progress `t ∈ [0, 1]` that goes from `start` (t = 0) towards `end` (t = 1).

    | kind | value at t |
    |---|---|
    | constant | start |
    | linear | start + (end − start)·t |
    | polynomial | end + (start − end)·(1 − t)^power |
    | exponential | start·(end/start)^t |
    | staircase | start·(end/start)^(k/(stairs−1)), k = ⌊t·stairs⌋: equal stairs, the last of them at end |
    | cosine | end + (start − end)·(1 + cos πt)/2 |
    | milestones | start·f of the last of the `milestones` (progress, f) that t has reached; start before them |

    Raises ValueError for an unknown kind, for an exponential or staircase that starts or ends at 0 or below, for a
    staircase of fewer than 2 stairs, and for milestones that are none or do not rise."""
    if kind in ("exponential", "staircase") and not (start > 0 and end > 0):
        raise ValueError(f"an {kind} schedule goes between positive values, not from {start:g} to {end:g}")
    if kind == "staircase" and stairs < 2:
        raise ValueError(f"a staircase has at least 2 stairs, not {stairs}")
    places = [place for place, _ in milestones]
    if kind == "milestones" and (not places or places != sorted(set(places))):
        raise ValueError("milestones are one or more epochs in rising order")
    schedules: dict[str, Schedule] = {
        "constant": lambda t: start,
        "linear": lambda t: start + (end - start) * t,
        "polynomial": lambda t: end + (start - end) * (1 - t) ** power,
        "exponential": lambda t: start * (end / start) ** t,
        # 1e-9 makes up for the rounding of t: in floats, 29/50·50 lies below 29
        "staircase": lambda t: start * (end / start) ** (min(math.floor(t * stairs + 1e-9), stairs - 1) / (stairs - 1)),
        "milestones": lambda t: start * ([1.0] + [f for place, f in milestones if place <= t + 1e-9])[-1],
        "cosine": lambda t: end + (start - end) * (1 + math.cos(math.pi * t)) / 2,
    }
    if kind not in schedules:
        raise ValueError(f"unknown schedule '{kind}' (valid: {', '.join(SCHEDULES)})")
    return schedules[kind]


class Scheduler:
    """Moves hyperparameters at every step: `values[name] = schedule(t)`, and in every param group that has `name`,
    `group[name] = schedule(t)·group[name + "_scale"]` (a group without a scale has scale 1).

    `schedules` maps names to functions of progress t = step/total (`every="step"`) or, constant within an epoch,
    t = epoch/epochs, the epoch counted from 0 (`"epoch"`, how BinaryNet's code does it) or from 1 (`"epoch_end"`, how
    BayesBiNN's code does it). `values`, one dict that stays the same object, is where a value is read that belongs to
    no optimizer, such as the weight of a regularizer."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedules: dict[str, Schedule],
        steps_per_epoch: int,
        epochs: int,
        every: str = "step",
    ) -> None:
        self.optimizer = optimizer
        self.schedules = schedules
        self.values: dict[str, float] = {}
        self.total = steps_per_epoch * epochs
        self.grain = 1 if every == "step" else steps_per_epoch
        self.ahead = self.grain if every == "epoch_end" else 0
        self.steps = 0
        self._apply()

    def step(self) -> None:
        self.steps += 1
        self._apply()

    def _apply(self) -> None:
        # the step after the last one is never taken; its t stays below 1, where a staircase would climb too far
        t = (min(self.steps, self.total - 1) // self.grain * self.grain + self.ahead) / self.total
        for name, value_at in self.schedules.items():
            self.values[name] = value = value_at(t)
            for group in self.optimizer.param_groups:
                if name in group:
                    group[name] = value * group.get(name + "_scale", 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        self._apply()
