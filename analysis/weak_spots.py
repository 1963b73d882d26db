"""Where a method is weak in one suite, in numbers: its tuning, its stability, its seeds."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from analysis.suites import SuiteRuns
from analysis.trials import best_found, load_trials, sensitivity
from configs.ranges import at_edge
from configs.registry import ROOT

SPACES = ROOT / "sweeps" / "spaces"


@dataclass(frozen=True)
class Tuning:
    """Of the searches of all replicates, means over them of validation errors in %: of the `first` trial, which has the
    method's defaults where they lie in the ranges, NaN where one failed, of the `median` and of the `best`; `near`, the
    share of trials within 1 point of the best; `failed` and `trials`, their numbers. `edges`: `lr=0.0998 of [0.0001,
    0.1]` for every search whose best trial has a setting at an edge of its range."""

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
    trials = load_trials(folder, suite, [method])
    if trials.empty:
        return None
    found = best_found(trials).set_index("trial")["error"]
    known = trials.dropna(subset="error")
    best = known.loc[known.groupby("replicate")["error"].idxmin(), "values"]
    limits = ranges(spaces / f"{method}.yaml")
    return Tuning(
        trials=len(trials),
        failed=int((trials["state"] == "failed").sum()),
        first=float(found.get(1, math.nan)),
        median=float(trials.groupby("replicate")["error"].median().mean()),
        best=float(found.iloc[-1]) if len(found) else math.nan,
        near=float(sensitivity(trials)[method]),
        edges=tuple(text for values in best for text in _edges(values, limits)),
    )


def ranges(path: Path) -> dict[str, tuple[float, float, bool]]:
    """Setting → low, high, and whether its scale is logarithmic, of the ranges in a search space; empty without one."""
    if not path.exists():
        return {}
    content: Any = OmegaConf.to_container(OmegaConf.load(path))
    scales = {name: next(iter(values.items())) for name, values in content["tuned"].items()}
    return {name: (*ends, scale == "log") for name, (scale, ends) in scales.items() if scale != "categorical"}


def _edges(values: dict[str, Any], limits: dict[str, tuple[float, float, bool]]) -> list[str]:
    texts = (at_edge(name, float(values[name]), *ends) for name, ends in limits.items() if name in values)
    return [text for text in texts if text]


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
    return Stability(len(runs) + failed, failed, float(rise.mean()))


@dataclass(frozen=True)
class Seeds:
    """Standard deviations of test errors, in points: `within`, of the runs of one replicate, which differ only in their
    seed (root of the mean variance); `between`, of the replicates' means, which differ in split and search too. NaN
    where there are too few values."""

    within: float
    between: float


def seeds(found: SuiteRuns, method: str) -> Seeds:
    groups = found.of(method).groupby("replicate")["deployed"]
    variances = groups.var(ddof=1).dropna()
    means = groups.mean()
    within = math.sqrt(variances.mean()) if len(variances) else math.nan
    return Seeds(within, float(means.std(ddof=1)) if len(means) > 1 else math.nan)
