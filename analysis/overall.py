"""All complete settings together: the methods' scores, as numbers and as tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.aggregate import Estimate, Values, interquartile_mean, probability_of_improvement
from analysis.suites import CONTROL, SuiteRuns, titles
from analysis.tables import limits, number
from configs.registry import METHODS


@dataclass(frozen=True)
class Overall:
    """A competitor over the settings that it has; `improves` is None of the control."""

    method: str
    settings: int
    score: Estimate
    improves: Estimate | None


def counted(suites: Sequence[SuiteRuns]) -> list[SuiteRuns]:
    """The complete ones; a user's own only where there are no others."""
    complete = [found for found in suites if found.complete]
    return [found for found in complete if not found.suite.own] or complete


def scores(suites: Sequence[SuiteRuns]) -> dict[str, Values]:
    """Competitor → suite → errors of its replicates, of the settings that count and whose control is sometimes wrong,
    so that there is an error to divide by. Methods are in the order of the registry."""
    usable = [found for found in counted(suites) if found.values(CONTROL).sum() > 0]
    result: dict[str, dict[str, np.ndarray]] = {}
    for method in METHODS:
        for found in usable:
            if method in found.methods and found.competes(method) and len(values := found.values(method)):
                result.setdefault(method, {})[found.suite.label] = values
    return dict(result)


def overall(values: dict[str, Values]) -> list[Overall]:
    """By interquartile mean; competitors with all settings first."""
    control = values.get(CONTROL, {})
    rows = [
        Overall(
            method,
            len(own),
            interquartile_mean(control if method == CONTROL else own, control),
            None if method == CONTROL else probability_of_improvement(own, control),
        )
        for method, own in values.items()
    ]
    return sorted(rows, key=lambda row: (-row.settings, row.score.value))


def overall_table(rows: Sequence[Overall], suites: Sequence[SuiteRuns]) -> pd.DataFrame:
    """Competitors; `settings` says over how many, as a method without some setting cannot be compared with the
    others."""
    total = max((row.settings for row in rows), default=0)
    return pd.DataFrame(
        {
            "method": [row.method for row in rows],
            "settings": [f"{row.settings} of {total}" for row in rows],
            f"error relative to {CONTROL}, interquartile mean": [number(row.score.value) for row in rows],
            "95 % interval": [limits(row.score.low, row.score.high) for row in rows],
            f"probability to be better than {CONTROL}": [
                number(row.improves.value) if row.improves else "" for row in rows
            ],
            "95 % interval of it": [
                limits(row.improves.low, row.improves.high) if row.improves else "" for row in rows
            ],
            "accuracy / real's": [number(relative_accuracy(suites, row.method), 3) for row in rows],
        }
    )


def relative_table(suites: Sequence[SuiteRuns]) -> pd.DataFrame:
    """Setting by setting, the mean test error over the control's; empty where a method is no part of a setting."""
    complete = [found for found in suites if found.complete]
    names = titles(complete)
    rows = []
    for method in METHODS:
        ratios = {found.suite.label: _ratio(found, method) for found in complete if method in found.methods}
        if ratios:
            rows.append({"method": method} | {name: number(ratios.get(label)) for label, name in names.items()})
    return pd.DataFrame(rows)


def relative_accuracy(suites: Sequence[SuiteRuns], method: str) -> float:
    """`accuracy_share`, mean over the settings that count and have both; NaN where there is none."""
    shares = [share for found in counted(suites) if (share := accuracy_share(found, method)) == share]
    return float(np.mean(shares)) if shares else np.nan


def accuracy_share(found: SuiteRuns, method: str) -> float:
    """Accuracy over that of the real net of the same architecture (the measure of BiBench, Qin et al. 2023, arXiv
    2301.11233); NaN where one of the two has no finished run."""
    own, real = found.values(method), found.values("real")
    return float((100 - own.mean()) / (100 - real.mean())) if len(own) and len(real) else np.nan


def _ratio(found: SuiteRuns, method: str) -> float:
    own, control = found.values(method), found.values(CONTROL)
    return float(own.mean() / control.mean()) if len(own) and control.sum() > 0 else np.nan
