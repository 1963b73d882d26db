"""Where a method is weak in one suite, in numbers: its tuning, its stability, its seeds."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from analysis.statistics import share_near_best
from analysis.suites import SuiteRuns
from configs.ranges import at_edge
from configs.registry import ROOT
from configs.settings import UserError

SPACES = ROOT / "sweeps" / "spaces"


@dataclass(frozen=True)
class Tuning:
    """Of the searches of all replicates, means over them of validation errors in %: of the `first` trial, which has the
    method's defaults, of the `median` and of the `best`; `near`, the share of trials within 1 point of the best;
    `failed` and `trials`, their numbers. `edges`: `lr=0.0998 of [0.0001, 0.1]` for every search whose best trial has a
    setting at an edge of its range."""

    searches: int
    trials: int
    failed: int
    first: float
    median: float
    best: float
    near: float
    edges: tuple[str, ...]


def tuning(folder: Path, suite: str, method: str, spaces: Path = SPACES) -> Tuning | None:
    """Of the tables <folder>/<suite>/<method>/r<replicate>.csv; None where there is none. UserError, naming the file,
    where one cannot be read."""
    tables = [_read(path) for path in sorted(folder.glob(f"{suite}/{method}/r*.csv"))]
    if not tables:
        return None
    errors = [table["validation_error"] for table in tables]
    known = [table for table in tables if table["validation_error"].notna().any()]
    best = [table.iloc[int(table["validation_error"].argmin())] for table in known]
    limits = ranges(spaces / f"{method}.yaml")
    return Tuning(
        searches=len(tables),
        trials=sum(map(len, tables)),
        failed=sum(int((table["state"] == "failed").sum()) for table in tables),
        first=_mean([e.iloc[0] for e in errors]),
        median=_mean([e.median() for e in errors]),
        best=_mean([e.min() for e in errors]),
        near=_mean([share_near_best(e) for e in errors]),
        edges=tuple(text for trial in best for text in _edges(trial, limits)),
    )


def ranges(path: Path) -> dict[str, tuple[float, float, bool]]:
    """Setting → low, high, and whether its scale is logarithmic, of the ranges in a search space; empty without one."""
    if not path.exists():
        return {}
    content: Any = OmegaConf.to_container(OmegaConf.load(path))
    scales = {name: next(iter(values.items())) for name, values in content["tuned"].items()}
    return {name: (*ends, scale == "log") for name, (scale, ends) in scales.items() if scale != "categorical"}


def _edges(trial: pd.Series, limits: dict[str, tuple[float, float, bool]]) -> list[str]:
    return [
        f"{name}={trial[name]:g} of [{low:g}, {high:g}]"
        for name, (low, high, log) in limits.items()
        if name in trial and at_edge(float(trial[name]), low, high, log)
    ]


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
        return table.astype({"validation_error": float, "state": str})
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a readable table of trials: {error}") from error


@dataclass(frozen=True)
class Stability:
    """`runs` that have ended, and how many of them `failed`; `rise`, by how many points the last epoch's test error is
    above that of the chosen one, mean over runs, NaN where no record says."""

    runs: int
    failed: int
    rise: float


def stability(found: SuiteRuns, method: str) -> Stability:
    runs = found.of(method)
    failed = found.failed(method)
    if runs.empty or "test.last_error" not in runs:
        return Stability(len(runs) + failed, failed, math.nan)
    rise = runs["test.last_error"].astype(float) - runs["test.error"].astype(float)
    return Stability(len(runs) + failed, failed, _mean(rise))


@dataclass(frozen=True)
class Seeds:
    """Standard deviations of test errors, in points: `within`, of the runs of one replicate, which differ only in their
    seed (root of the mean variance); `between`, of the replicates' means, which differ in split and search too. NaN
    where there are too few values."""

    within: float
    between: float


def seeds(found: SuiteRuns, method: str) -> Seeds:
    groups = found.of(method).groupby("replicate")["test.error"]
    variances = groups.var(ddof=1).dropna()
    means = groups.mean()
    within = math.sqrt(variances.mean()) if len(variances) else math.nan
    return Seeds(within, float(means.std(ddof=1)) if len(means) > 1 else math.nan)


def _mean(values: Any) -> float:
    known = np.asarray([v for v in values if v == v], dtype=float)
    return float(known.mean()) if len(known) else math.nan
