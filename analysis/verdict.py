"""One suite: each method against the control."""

import math
from dataclasses import dataclass

import numpy as np

from analysis.control import Difference, differences
from analysis.examples import by_replicate, examples_error, wider
from analysis.statistics import NORMAL, Summary, summarize
from analysis.suites import CONTROL, SuiteRuns
from results.wrong import decode


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
    def shown(self) -> str:
        """`worse`, `better, on this test set`: the verdict where it says that there is a difference, else empty."""
        words = self.verdict.replace(f" than {CONTROL}", "")
        return words if words.startswith(("better", "worse")) else ""

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
