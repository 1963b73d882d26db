"""One suite: each method against the control, numbers first (`compare`), then as tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.cells import note_of
from analysis.control import Difference, differences
from analysis.examples import by_replicate, examples_error, wider
from analysis.overall import accuracy_share
from analysis.statistics import NORMAL, Summary, summarize
from analysis.suites import CONTROL, SuiteRuns
from analysis.tables import count, interval, number
from analysis.trials import best_found, sensitivity
from results.wrong import decode

CORRUPTIONS = "test.corrupted."


@dataclass(frozen=True)
class Compared:
    """One method of a suite. `error`: of the replicates; `wide` and `difference_wide` are half-widths of the intervals
    that hold the noise of the test set too, NaN without wrong examples. `difference` is None of the control and of
    references."""

    method: str
    competes: bool
    error: Summary
    wide: float
    difference: Difference | None
    difference_wide: float
    failed: int

    @property
    def verdict(self) -> str:
        """In words; `, on this test set` where the wider interval does not show it."""
        if self.method == CONTROL:
            return "control"
        if self.difference is None:
            return "reference"
        words = self.difference.verdict(CONTROL)
        unsure = self.difference.verdict(CONTROL, self.difference_wide) not in ("", words)
        return f"{words}, on this test set" if unsure else words


def compare(found: SuiteRuns) -> list[Compared]:
    """The competitors by their mean error, then the references by theirs; a method without a finished run is last.

    Only competitors are compared with the control."""
    values = {method: found.values(method) for method in found.methods}
    wrong = {method: wrong_shares(found, method) for method in found.methods}
    rivals = [method for method in found.methods if found.competes(method) and method != CONTROL]
    tested = differences({method: values[method] for method in rivals}, values[CONTROL])
    rows = []
    for method in found.methods:
        error, difference = summarize(values[method].tolist()), tested.get(method)
        own, control = wrong[method], wrong[CONTROL]
        wide = difference_wide = math.nan
        if own is not None:
            wide = wider(error.half_width, NORMAL, 100 * examples_error(own))
        if difference and own is not None and control is not None and own.shape[1] == control.shape[1]:
            noise = 100 * examples_error(own, control)
            difference_wide = wider(difference.half_width, difference.score, noise)
        competes = found.competes(method)
        rows.append(Compared(method, competes, error, wide, difference, difference_wide, found.failed(method)))
    return sorted(rows, key=lambda row: (not row.error.n, not row.competes, row.error.mean))


def wrong_shares(found: SuiteRuns, method: str) -> np.ndarray | None:
    """[replicates, examples] how many of a replicate's runs told an example wrong, as a share; None where a record does
    not say."""
    runs = found.of(method)
    if "test.wrong" not in runs or runs["test.wrong"].isna().any():
        return None
    return by_replicate([decode(text) for text in runs["test.wrong"]], runs["replicate"].astype(int).tolist())


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
                signed_interval(row.difference.difference, row.difference.half_width) if row.difference else ""
                for row in rows
            ],
            "difference with test-set noise": [
                signed_interval(row.difference.difference, row.difference_wide) if row.difference else ""
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
    """Beside the error: what the searches found, robustness to corrupted images, time, memory, packed size. Means over
    replicates; seconds, memory and size are medians of the runs."""
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
        method, searched = row.method, row.method in last
        result.append(
            {
                "method": method,
                "validation error, defaults": number(first.get(method)),
                "best of the search": number(last.get(method)),
                "trials within 1 point of it": f"{near[method]:.0%}" if searched else "",
                "failed trials": str(lost.get(method, 0)) if searched else "",
                "accuracy / real's": number(accuracy_share(found, method), 3),
                **{f"test error, {name}, %": number(_mean(found.values(method, CORRUPTIONS + name))) for name in names},
                "seconds a run": number(median(method, "cost.elapsed_seconds"), 0),
                "peak memory, MiB": number(median(method, "cost.peak_memory", 2**20), 0),
                "packed, KiB": number(median(method, "packed.bytes", 2**10), 1),
            }
        )
    return pd.DataFrame(result)


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


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}" if value == value else ""  # −0.0 + 0.0 is 0.0


def signed_interval(mean: float, half_width: float) -> str:
    return f"{signed(mean - half_width)} to {signed(mean + half_width)}" if half_width == half_width else ""
