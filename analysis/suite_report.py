"""A suite's answer as text: which methods are better or worse than the control, by how much, what it cannot tell."""

import math
from collections.abc import Iterator, Sequence

from analysis.material import Material
from analysis.suites import CONTROL
from analysis.tables import interval, number, signed, with_limits
from analysis.verdict import Compared
from analysis.verdict_tables import state
from configs.settings import unknown


def report(material: Material, label: str) -> str:
    """UserError where there is no suite of this label."""
    found = next((found for found in material.suites if found.suite.label == label), None)
    if found is None:
        raise unknown("suite", label, [found.suite.label for found in material.suites])
    title = f"{label} ({found.setting})" if found.done else label
    if label not in material.comparisons:
        return f"{title}: {state(found)}; it tells nothing before all its runs have ended"
    rows = material.comparisons[label]
    return "\n".join([f"{title}: {state(found)}", "", *_table(rows), "", *_answer(rows)])


def _table(rows: Sequence[Compared]) -> list[str]:
    """A line for each method, with its 95 % intervals."""
    head = ["method", "test error, %", f"difference to {CONTROL}", "verdict"]
    return _aligned([head, *([row.method, *_error(row), row.verdict] for row in rows)])


def _error(row: Compared) -> tuple[str, str]:
    if not row.error.n:
        return "all runs failed", ""
    gap = row.difference
    return (
        with_limits(number(row.error.mean), interval(row.error.mean, row.error.half_width)),
        with_limits(signed(gap.difference), interval(gap.difference, gap.half_width, signed)) if gap else "",
    )


def _answer(rows: Sequence[Compared]) -> Iterator[str]:
    """Sentences; the intervals of all differences hold together."""
    tested = [row for row in rows if row.difference and row.error.n]
    for word in ("better", "worse"):
        names = [row.method for row in tested if row.shown.startswith(word)]
        yield f"{word.capitalize()} than {CONTROL}: {', '.join(names) or 'no method'}."
    if any(row.shown.endswith("on this test set") for row in tested):
        yield "“On this test set”: another one of the same size could show no difference."
    if same := [row for row in tested if row.verdict.startswith("not")]:
        most = max(abs(row.difference.difference) + row.difference.half_width for row in same if row.difference)
        yield f"Not distinguishable from {CONTROL}: {', '.join(row.method for row in same)}."
        yield f"Of them, differences above {number(most)} points are ruled out."
    if untested := [row.method for row in tested if row.difference and math.isnan(row.difference.half_width)]:
        yield f"Not tested, for want of replicates that ended or varied: {', '.join(untested)}."
    better = [row.method for row in tested if row.shown.startswith("better")]
    if not better and not untested:
        yield f"So take {CONTROL}, the simplest."
    elif len(better) > 1:
        yield "Which of the better ones is best, the suite cannot tell."


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns below one another."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
