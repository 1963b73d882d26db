"""The tables of suites: all settings at a glance, each by itself with its details, and how complete they are."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.cells import note_of
from analysis.overall import Overall, accuracy_share
from analysis.suites import CONTROL, SuiteRuns
from analysis.tables import count, interval, limits, number, signed
from analysis.trials import best_found, sensitivity
from analysis.verdict import Compared
from configs.registry import METHODS

CORRUPTIONS = "test.corrupted."
BLOCKED = "flips blocked"
DETAILS = (
    "Means over replicates; of corrupted test images also the lowest and the highest replicate. The first trial has "
    "the method's defaults, but for what its space fixes, or does not reach. Flips blocked: of those that the moving "
    "gradient asks for, the share that the threshold holds back, over all epochs. Seconds, memory and size are medians "
    "of the runs. Training memory is that of the weights and the optimizer. Seconds are those of a machine that may "
    "have done other work at the same time: benchmarks/ compares speed."
)


def verdict_table(settings: Sequence[tuple[str, Sequence[Compared]]], rows: Sequence[Overall]) -> pd.DataFrame:
    """All settings at a glance: a column each with mean test errors and what the tests say, and one of the errors
    relative to the control over all of them. Competitors are in the order of `rows`, the references follow."""
    found = {(row.method, setting): row for setting, compared in settings for row in compared}
    over_all = {row.method: row for row in rows}
    run = {method for method, _ in found}
    methods = [*over_all, *(method for method in METHODS if method in run - over_all.keys())]
    result = []
    for method in methods:
        cells = {f"{setting}: test error, %": _glance(found.get((method, setting))) for setting, _ in settings}
        score = over_all[method].score if method in over_all else None
        text = f"{number(score.value)} ({limits(score.low, score.high)})" if score else ""
        result.append({"method": method, **cells, f"all: error / {CONTROL}'s": text})
    return pd.DataFrame(result)


def _glance(row: Compared | None) -> str:
    """`3.55 (worse)`: the error, and what the test says of the difference where it says one is there."""
    if row is None:
        return ""
    if not row.error.n:
        return "failed"
    return number(row.error.mean) + (f" ({row.shown})" if row.shown else "")


def suite_table(rows: Sequence[Compared], found: SuiteRuns) -> pd.DataFrame:
    """The errors, the differences to the control with simultaneous intervals, and what they say."""
    return pd.DataFrame(
        {
            "method": [named(row.method, found) for row in rows],
            "test error, %": [number(row.error.mean) for row in rows],
            "95 % interval": [interval(row.error.mean, row.error.half_width) for row in rows],
            "with test-set noise": [interval(row.error.mean, row.wide) for row in rows],
            "replicates": [str(row.error.n) for row in rows],
            "runs": [count(len(found.of(row.method)), row.failed) for row in rows],
            f"difference to {CONTROL}": [signed(row.difference.difference) if row.difference else "" for row in rows],
            "95 % interval, all methods together": [
                interval(row.difference.difference, row.difference.half_width, signed) if row.difference else ""
                for row in rows
            ],
            "difference with test-set noise": [
                interval(row.difference.difference, row.difference_wide, signed) if row.difference else ""
                for row in rows
            ],
            "verdict": [row.verdict if row.error.n else "all runs failed" for row in rows],
        }
    )


def named(method: str, found: SuiteRuns) -> str:
    """The method, and in brackets that it is a reconstruction, or how it departs from its source."""
    runs = found.of(method)
    note = note_of(runs.iloc[0]) if len(runs) else ""
    return f"{method} ({note})" if note else method


def details_table(rows: Sequence[Compared], found: SuiteRuns, trials: pd.DataFrame) -> pd.DataFrame:
    """Beside the error: what the searches found, robustness to corrupted images, time, memory, packed size."""
    best = best_found(trials)
    first = best[best["trial"] == 1].set_index("method")["error"].to_dict()
    last = best.groupby("method")["error"].last().to_dict()
    near = sensitivity(trials).to_dict() if len(trials) else {}
    lost = trials[trials["state"] == "failed"].groupby("method").size().to_dict()
    columns = map(str, found.table.columns)
    names = [name.removeprefix(CORRUPTIONS) for name in columns if name.startswith(CORRUPTIONS)]

    def median(method: str, column: str, unit: float = 1.0) -> float:
        runs = found.of(method)
        return runs[column].astype(float).median() / unit if column in runs else math.nan

    result = []
    for row in rows:
        method, searched = row.method, row.method in near
        result.append(
            {
                "method": method,
                "validation error, first trial": number(first.get(method)),
                "best of the search": number(last.get(method)),
                "trials within 1 point of it": f"{near[method]:.0%}" if searched else "",
                "failed trials": str(lost.get(method, 0)) if searched else "",
                BLOCKED: _blocked(found.of(method)),
                "accuracy / real's": number(accuracy_share(found, method), 3),
                **{f"test error, {name}, %": _with_range(found.values(method, CORRUPTIONS + name)) for name in names},
                "seconds a run": number(median(method, "cost.elapsed_seconds"), 0),
                "training memory, KiB": number(median(method, "model.training_bytes", 2**10), 0),
                "packed, KiB": number(median(method, "packed.bytes", 2**10), 1),
            }
        )
    table = pd.DataFrame(result)
    table = table.drop(columns=[BLOCKED] if (table[BLOCKED] == "").all() else [])
    table.attrs["note"] = DETAILS
    return table


def _blocked(runs: pd.DataFrame) -> str:
    """Mean over runs and epochs, of methods that flip bits on a threshold."""
    shares = [np.mean(curves["blocked"]) for curves in runs["curves"] if "blocked" in curves]
    return f"{100 * np.mean(shares):.1f}%" if shares else ""


def state_table(suites: Sequence[SuiteRuns]) -> pd.DataFrame:
    """All suites: their design, and how many of their runs have ended."""
    return pd.DataFrame(
        [
            {
                "suite": found.suite.label,
                "setting": found.setting if found.done else "",
                "replicates": found.suite.replicates,
                "trials": f"of {found.suite.configurations.label}"
                if found.suite.configurations
                else found.suite.trials,
                "runs": found.suite.runs,
                "state": state(found),
            }
            for found in suites
        ]
    )


def state(found: SuiteRuns) -> str:
    """`complete`, or `not complete: n of N runs`; with the methods that the suite does not have yet."""
    if not found.methods:
        return "not begun"
    text = "complete" if found.complete else f"not complete: {len(found.table)} of {found.total} runs"
    lost = sum(map(found.failed, found.methods))
    return (
        text + (f" ({lost} failed)" if lost else "") + (f"; without {', '.join(found.absent)}" if found.absent else "")
    )


def _with_range(values: np.ndarray) -> str:
    """`49.5 (10.5 to 77.4)`: the mean, the lowest and the highest."""
    if not len(values):
        return ""
    lowest, mean, highest = (number(value, 1) for value in (values.min(), values.mean(), values.max()))
    return f"{mean} ({lowest} to {highest})"
