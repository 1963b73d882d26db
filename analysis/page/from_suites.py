"""The verdict of complete suites → the rows of the page."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from analysis.aggregate import Values, ends_of_scores, profile_steps
from analysis.overall import Overall as Scored
from analysis.page.rows import Cell, Curve, Overall, Setting, around
from analysis.page.thin import digits
from analysis.suites import CONTROL
from analysis.trials import best_found
from analysis.verdict import Compared


def with_verdict(setting: Setting, label: str, rows: Sequence[Compared], trials: pd.DataFrame) -> Setting:
    """The setting as the complete suite `label`: its methods' errors are those of replicates, their differences to the
    control have simultaneous intervals. Cells that are not the suite's stay as they are.

    trials: of the suite's searches."""
    found = best_found(trials)
    by_method = {row.method: row for row in rows}
    cells = [_compared(cell, by_method[cell.key], found) if cell.key in by_method else cell for cell in setting.cells]
    order = {row.method: place for place, row in enumerate(rows)}
    cells.sort(key=lambda cell: order.get(cell.key, len(order)))
    return replace(setting, cells=cells, suite=label, complete=True)


def _compared(cell: Cell, row: Compared, found: pd.DataFrame) -> Cell:
    own = found[found["method"] == cell.key]
    return replace(
        cell,
        error=around(row.error.mean, row.error.half_width),
        count=row.error.n,
        unit="replicates",
        failed=row.failed,
        difference=around(row.difference.difference, row.difference.half_width) if row.difference else None,
        word=row.verdict if row.difference else "",
        search_curve=Curve(own["trial"].tolist(), [digits(v) for v in own["error"]]) if len(own) else None,
    )


def overall_rows(values: dict[str, Values], rows: Sequence[Scored]) -> list[Overall]:
    """Competitors over the complete settings that they have."""
    if CONTROL not in values:
        return []
    control = values[CONTROL]
    ends = ends_of_scores(values, control)
    result = []
    for row in rows:
        at, shares = profile_steps(values[row.method], control, ends)
        points = [(digits(r), digits(s)) for r, s in zip(at, shares, strict=True)]
        result.append(Overall(row.method, row.score, row.improves, points))
    return result
