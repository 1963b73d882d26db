"""A method's report, a page of text: how it compares in each setting, where it is weak, and what to run next."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis.material import Material
from analysis.page.method_lines import method_lines
from analysis.suites import CONTROL, SuiteRuns
from analysis.tables import interval, number, signed, with_limits
from analysis.verdict import Compared
from analysis.verdict_tables import state
from analysis.weak_spots import SPACES, seeds, stability, tuning
from configs.registry import METHODS
from configs.settings import UserError, unknown

SHORT = ("digits", "mnist")  # suites that a new method begins with
MOST = 3  # edges that are named


def report(material: Material, method: str, trials: Path, spaces: Path = SPACES) -> str:
    """UserError where the method is unknown, or has neither records nor trials.

    trials: the folder with the tables of searches."""
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    suites = [found for found in material.suites if method in found.suite.methods]
    begun = [found for found in suites if len(found.of(method)) or found.failed(method)]
    outside = list(_outside(material, method))
    if not begun and not outside and not any(trials.glob(f"*/{method}/r*.csv")):
        raise UserError(f"there is no record of {method}; {_suite_command(SHORT[0], method)} makes the first")
    lines = [f"{method}: {method_lines().get(method, '')}", "", "How it compares (test error, %)"]
    lines += [line for found in begun for line in _compared(material, found, method)]
    lines += (
        ["  outside suites, where nothing is tested", *outside] if outside else [] if begun else ["  no test error yet"]
    )
    weak = [line for found in suites for line in _weak(found, method, trials, spaces)]
    lines += ["", "Where it may be weak", *(weak or ["  nothing to go by: no suite has runs or trials of it"])]
    lines += ["", "What to run next", *_next(material, suites, method, trials, spaces)]
    return "\n".join(lines)


def _compared(material: Material, found: SuiteRuns, method: str) -> Iterator[str]:
    label = found.suite.label
    if rows := material.comparisons.get(label):
        row = next(r for r in rows if r.method == method)
        rivals = [r.method for r in rows if r.competes]
        rank = f"; {rivals.index(method) + 1}. of {len(rivals)} competitors" if method in rivals else ""
        yield f"  {label} ({found.setting}), complete{rank}"
        lost = f", {counted(row.failed, 'run')} failed" if row.failed else ""
        yield f"    error {_error(row)}, {counted(row.error.n, 'replicate')}{lost}"
        if row.difference:
            gap = row.difference
            text = with_limits(signed(gap.difference), interval(gap.difference, gap.half_width, signed))
            yield f"    difference to {CONTROL} {text}: {row.verdict or 'too few replicates to test'}"
        return
    values, control = found.values(method), found.values(CONTROL)
    mean = number(float(values.mean())) if len(values) else "none"
    beside = (
        f"; {CONTROL} {number(float(control.mean()))} of {len(control)}" if len(control) and method != CONTROL else ""
    )
    yield f"  {label}: {state(found)}, so nothing is tested"
    yield f"    error {mean} of {counted(len(values), 'replicate')}{beside}"


def _error(row: Compared) -> str:
    return with_limits(number(row.error.mean), interval(row.error.mean, row.error.half_width))


def _outside(material: Material, method: str) -> Iterator[str]:
    """Cells of complete suites are told elsewhere; these are described beside the control of the same epochs."""
    cells = material.cells
    for _, cell in cells[cells["family"] == method].iterrows() if len(cells) else ():
        if cell["runs"]["replicate"].notna().any():
            continue
        same = (cells[["dataset", "net", "epochs"]] == cell[["dataset", "net", "epochs"]]).all(axis=1)
        control = cells[same & (cells["family"] == CONTROL)]
        beside = f"; {CONTROL} {number(control.iloc[0]['mean'])}" if len(control) and method != CONTROL else ""
        lost = f", {counted(cell['failed'], 'run')} failed" if cell["failed"] else ""
        told = f"{number(cell['mean'])} of {counted(cell['n'], 'seed')}{lost}{beside}"
        setting = f"{cell['dataset']}, {cell['net']}, {cell['epochs']} epochs"
        more = cell["key"].removeprefix(method).removesuffix(f", {cell['epochs']} epochs")
        yield f"    {setting}{more}: {told}"


def _weak(found: SuiteRuns, method: str, trials: Path, spaces: Path) -> Iterator[str]:
    """Each line has the control's figures in brackets, as a measure of what is usual."""
    label = found.suite.label
    own, usual = (tuning(trials, label, name, spaces) for name in (method, CONTROL))
    if own:
        beside = f" ({CONTROL} {100 * usual.near:.0f} %)" if usual and method != CONTROL else ""
        yield (
            f"  tuning, {label}: validation error {number(own.best)} at best, {number(own.median)} in the median, "
            f"{_or_none(own.first)} in the first trial"
        )
        failed = f"{own.failed} of {own.trials} failed"
        yield f"    {100 * own.near:.0f} % of the trials within 1 point of the best{beside}; {failed}"
        if own.edges:
            more = f" and {len(own.edges) - MOST} more" if len(own.edges) > MOST else ""
            yield f"    best at an edge: {', '.join(own.edges[:MOST])}{more}"
    held = stability(found, method)
    if held.runs:
        other = stability(found, CONTROL)
        beside = f" ({CONTROL} {signed(other.rise)})" if other.runs and method != CONTROL else ""
        yield f"  stability, {label}: {held.failed} of {held.runs} runs failed"
        if held.rise == held.rise:
            yield f"    last epoch's test error − that of the chosen epoch: {signed(held.rise)} points{beside}"
        spread, usual_spread = seeds(found, method), seeds(found, CONTROL)
        beside = (
            f" ({CONTROL} {_or_none(usual_spread.within)} and {_or_none(usual_spread.between)})" if other.runs else ""
        )
        yield (
            f"  seeds, {label}: standard deviation in points {_or_none(spread.within)} within a replicate, "
            f"{_or_none(spread.between)} between replicates{beside if method != CONTROL else ''}"
        )


def counted(number: int, what: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number} {what}{'s' * (number != 1)}"


def _or_none(value: float) -> str:
    return number(value) or "unknown"


def _next(material: Material, suites: list[SuiteRuns], method: str, trials: Path, spaces: Path) -> list[str]:
    """Commands, each below its reason, those of suites that others are in first."""
    lines = []
    if not (spaces / f"{method}.yaml").exists():
        lines.append(f"  # sweeps/spaces/{method}.yaml is not there: without a search space, the defaults are compared")
    lines += [line for found in suites for line in _edge_command(found, method, trials, spaces)]
    left = [found for found in suites if _missing(found, method) and _has_configurations(found, suites, method)]
    left.sort(key=lambda f: (not len(f.of(method)), not f.methods, f.suite.label not in SHORT, *_size(f)))
    for found in left[:MOST]:
        total = found.suite.replicates * found.suite.runs
        lines.append(f"  # {_missing(found, method)} of {total} runs are missing")
        lines.append(f"  {_command_of(found, method)}")
    for found in material.complete:
        row = next((r for r in material.comparisons[found.suite.label] if r.method == method and r.difference), None)
        if row and row.verdict.startswith("not"):
            more = f"label={found.suite.label}_{method} replicates={2 * max(2, row.error.n)}"
            lines.append(f"  # more replicates, in a suite of their own, may tell it from {CONTROL}")
            lines.append(f"  {_command_of(found, method)} {more}")
    return lines or ["  nothing: all suites have it, and python -m analysis shows it beside the others"]


def _missing(found: SuiteRuns, method: str) -> int:
    return found.suite.replicates * found.suite.runs - len(found.of(method))


def _has_configurations(found: SuiteRuns, suites: list[SuiteRuns], method: str) -> bool:
    """Whether the suite has searches of its own, or those are done whose configurations it takes."""
    source = found.suite.configurations
    return not source or any(f.suite.label == source.label and not _missing(f, method) for f in suites)


def _size(found: SuiteRuns) -> tuple[int, str]:
    """Suites with few epochs first."""
    return found.suite.settings.get("epochs", 0), found.suite.label


def _command_of(found: SuiteRuns, method: str) -> str:
    return "(the command that began it)" if found.suite.own else _suite_command(found.suite.label, method)


def _suite_command(label: str, method: str) -> str:
    methods = ",".join(dict.fromkeys([method, CONTROL]))
    return f"python -m sweeps.suite suite={label} 'methods=[{methods}]'"


def _edge_command(found: SuiteRuns, method: str, trials: Path, spaces: Path) -> Iterator[str]:
    own = tuning(trials, found.suite.label, method, spaces)
    if not own or not own.edges:
        return
    names = sorted({text.partition("=")[0] for text in own.edges})
    settings = {group: found.suite.settings[group] for group in ("dataset", "net")} | dict(found.suite.settings)
    words = [word for name, value in settings.items() for word in _words(name, value)]
    command = shlex.join(["python", "-m", "sweeps", f"method={method}", *words, "trials=30"])
    yield f"  # best trials lie at an edge: a wider range of {', '.join(names)} in sweeps/spaces/{method}.yaml, then"
    yield f"  {command}"


def _words(name: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        group = [f"{name}={value['name']}"] if "name" in value else []
        return group + [f"{name}.{key}={_plain(inner)}" for key, inner in value.items() if key != "name"]
    return [f"{name}={_plain(value)}"]


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
