"""Search spaces: which settings of a method are tuned, over which values, and what else holds in every trial.

fixed:                                # settings of the method that differ from its defaults
  gamma_schedule: exponential
tuned:                                # setting: {scale: values}
  gamma: {log: [1e-5, 1e-2]}          # log and linear: from low to high, ends included
  init: {categorical: [uniform, glorot]}
"""

import itertools
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from configs.ranges import at_edge
from configs.registry import METHODS
from configs.settings import UserError, check, unknown

from .settings import SPACES

SCALES = ("log", "linear", "categorical")
DIGITS = 3  # significant ones of a tuned number: finer differences tell nothing, and the file stays readable


@dataclass(frozen=True)
class Space:
    fixed: dict[str, Any]
    tuned: dict[str, BaseDistribution]

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """The value of every tuned setting in this trial, as it is trained: numbers to three significant digits."""
        return {name: _rounded(_suggested(trial, name, values), values) for name, values in self.tuned.items()}

    def near_edges(self, values: dict[str, Any]) -> list[str]:
        """The settings whose value lies at an edge of its range (`configs/ranges.py`): `lr=0.0998 of
        [0.0001, 0.1]`. Better values may lie outside."""
        found = []
        for name, chosen in self.tuned.items():
            if isinstance(chosen, CategoricalDistribution):
                continue
            assert isinstance(chosen, FloatDistribution | IntDistribution)
            found.append(at_edge(name, values[name], chosen.low, chosen.high, chosen.log))
        return [text for text in found if text]

    def grid(self, trials: int) -> list[dict[str, Any]]:
        """The finest grid of at most `trials` points: all choices × equally many values of every range, ends included.

        UserError where even 2 values a range are too many."""
        ranges = [d for d in self.tuned.values() if not isinstance(d, CategoricalDistribution)]
        grid: list[dict[str, Any]] = []
        for points in itertools.count(2):
            axes = [_points(values, points) for values in self.tuned.values()]
            size = math.prod(len(axis) for axis in axes)
            if size > trials:
                break
            larger = [dict(zip(self.tuned, point, strict=True)) for point in itertools.product(*axes)]
            if len(larger) == len(grid) or not ranges:  # every whole number of the ranges is in already
                return larger
            grid = larger
        if not grid:
            raise UserError(f"trials={trials} is too few for a grid, which has at least {size} points here")
        return grid


def load_space(method: str, path: str | Path | None = None) -> Space | None:
    """The checked search space of a method, None where it has none. UserError that names the file and what is valid."""
    file = Path(path) if path else SPACES / f"{method}.yaml"
    if not path and not file.exists():
        return None
    try:
        content = OmegaConf.to_container(OmegaConf.load(file))
    except Exception as error:
        raise UserError(f"{file} is not a readable search space: {' '.join(str(error).split())}") from error
    try:
        return _checked(METHODS[method].Config, content)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _checked(config: type, content: Any) -> Space:
    parts = content if isinstance(content, dict) else {}
    tuned, given = parts.get("tuned"), parts.get("fixed") or {}
    if not isinstance(tuned, dict) or not isinstance(given, dict):
        raise UserError("a search space has `tuned:` with a line for each setting, and may have such a `fixed:`")
    if strange := parts.keys() - {"fixed", "tuned"}:
        raise unknown("part of a search space", str(min(strange)), ("fixed", "tuned"))
    if both := given.keys() & tuned.keys():
        raise UserError(f"{min(both)} is both fixed and tuned")
    fixed = {name: valid(config, name, value) for name, value in given.items()}
    return Space(fixed, {name: _distribution(config, name, values) for name, values in tuned.items()})


def valid(config: type, name: str, value: Any) -> Any:
    """The value as the method's Config has it. UserError for a name or value that it has not."""
    names = [item.name for item in fields(config) if item.name != "name"]
    if name not in names:
        raise unknown("setting", name, names)
    try:
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(config), {name: value}))
    except OmegaConfBaseException as error:
        raise UserError(f"{name}: {str(error).splitlines()[0]}") from error
    check(settings)
    return getattr(settings, name)


def _distribution(config: type, name: str, content: Any) -> BaseDistribution:
    if not isinstance(content, dict) or len(content) != 1:
        raise UserError(f"{name} needs one of {', '.join(SCALES)}, as in {{log: [1e-4, 1e-1]}}")
    ((scale, ends),) = content.items()
    if scale not in SCALES:
        raise unknown("scale", str(scale), SCALES)
    values = [valid(config, name, value) for value in ends] if isinstance(ends, list) else []
    if scale == "categorical":
        if len(set(values)) < 2 or len(set(values)) < len(values):
            raise UserError(f"{name} needs two or more different values to choose from, not {ends}")
        return CategoricalDistribution(values)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if not numbers or len(values) != 2 or not values[0] < values[1]:
        raise UserError(f"{name} needs [low, high] with two numbers, low < high, not {ends}")
    if scale == "log" and values[0] <= 0:
        raise UserError(f"{name} has a log scale, which begins above 0, not at {values[0]:g}")
    kind = IntDistribution if isinstance(values[0], int) else FloatDistribution
    return kind(low=values[0], high=values[1], log=scale == "log")


def _suggested(trial: Trial, name: str, values: BaseDistribution) -> Any:
    if isinstance(values, CategoricalDistribution):
        return trial.suggest_categorical(name, values.choices)
    if isinstance(values, IntDistribution):
        return trial.suggest_int(name, values.low, values.high, log=values.log)
    assert isinstance(values, FloatDistribution)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _rounded(value: Any, values: BaseDistribution) -> Any:
    if not isinstance(values, FloatDistribution):
        return value
    return min(max(significant(value), values.low), values.high)


def significant(value: float) -> float:
    """To DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


def _points(values: BaseDistribution, count: int) -> list[Any]:
    """`count` equally spaced values of a range on its scale, of whole numbers at most as many as there are; all
    choices."""
    if isinstance(values, CategoricalDistribution):
        return list(values.choices)
    assert isinstance(values, FloatDistribution | IntDistribution)
    inner = [_at(values, k / (count - 1)) for k in range(1, count - 1)]
    if isinstance(values, IntDistribution):
        inner = [round(value) for value in inner]
    return sorted({values.low, values.high, *inner})


def _at(values: FloatDistribution | IntDistribution, share: float) -> float:
    """The value at `share` (0..1) of the way from low to high, on the setting's scale."""
    low, high = values.low, values.high
    return low * (high / low) ** share if values.log else low + (high - low) * share


def from_unit(values: BaseDistribution, unit: float) -> Any:
    """The value for a number in [0, 1): uniform numbers give values uniform on the scale, all whole numbers of a linear
    range and all choices equally likely."""
    if isinstance(values, CategoricalDistribution):
        return values.choices[int(unit * len(values.choices))]
    if isinstance(values, IntDistribution):
        # whole number n stands for the values from n − ½ to n + ½
        edges = FloatDistribution(values.low - 0.5, values.high + 0.5, log=values.log)
        return min(max(round(_at(edges, unit)), values.low), values.high)
    assert isinstance(values, FloatDistribution)
    return min(max(_at(values, unit), values.low), values.high)
