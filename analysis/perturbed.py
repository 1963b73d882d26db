"""How much depends on each setting that a search chose: validation errors of `python -m sweeps.perturb`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.plotting import Figure, colour, panels
from analysis.suites import Suite
from analysis.tables import signed
from analysis.trials import chosen_in, tables_of
from configs.ranges import MOVED_BY
from configs.registry import METHODS
from configs.settings import UserError

COLUMNS = ["method", "replicate", "setting", "chosen", "direction", "increase"]
DIRECTIONS = {"lower": ("÷", "<"), "higher": ("×", ">")}  # of a moved value; its sign, and its marker
LINEAR = 1.0  # points up to which the figure's axis is linear; beyond, logarithmic


def load_perturbed(results: Path, suite: Suite) -> pd.DataFrame:
    """A row for each moved setting in <results>/perturbed/<suite>/<method>/r<replicate>.csv: `method`, `replicate`,
    `setting`, its `chosen` value, whether it was moved `lower` or `higher`, and `increase`, the validation error less
    that of the chosen configuration, in points; infinite where the moved run failed, NaN where the chosen one did.

    UserError, naming the file, where one is no such table, or not of the configuration that the suite chose."""
    rows: list[list[Any]] = []
    for method, replicate, path in tables_of(results / "perturbed", suite.label, suite.methods):
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            errors = table["validation_error"].replace("", "inf").astype(float)
            settings = table.drop(columns=["trial", "state", "validation_error"])
            start = math.nan if math.isinf(errors[0]) else errors[0]
            for place in range(1, len(table)):
                (name,) = settings.columns[settings.iloc[place] != settings.iloc[0]]
                chosen, moved = (float(settings[name][row]) for row in (0, place))
                direction = "lower" if moved < chosen else "higher"
                rows.append([method, replicate, name, chosen, direction, errors[place] - start])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path} is not a readable table of perturbed runs: {error}") from error
        searched = results / "trials" / (suite.configurations or suite).label / method / f"r{replicate}.csv"
        if settings.iloc[0].to_dict() != chosen_in(searched):
            raise UserError(f"{path} is of another search: python -m sweeps.perturb suite={suite.label} makes it anew")
    return pd.DataFrame(rows, columns=COLUMNS)


def increases(perturbed: pd.DataFrame) -> pd.DataFrame:
    """`method`, `setting`, `direction`, `chosen` (a list, one of each replicate that has such a run), and `increase`,
    its mean over the `n` of them whose chosen configuration has an error; infinite where a moved run failed."""
    groups = perturbed.groupby(["method", "setting", "direction"], sort=False)
    aggregated = groups.agg(chosen=("chosen", list), n=("increase", "count"), increase=("increase", "mean"))
    return aggregated.reset_index()


def perturbed_table(perturbed: pd.DataFrame) -> pd.DataFrame:
    """A row for each setting of a method, in the order of the registry."""
    found = increases(perturbed)
    rows = []
    for method in METHODS:
        own = found[found["method"] == method]
        for name in own["setting"].unique():
            parts = own[own["setting"] == name].set_index("direction")
            chosen = max(parts["chosen"], key=len)
            cells = {}
            for direction, (sign, _) in DIRECTIONS.items():
                n = parts.at[direction, "n"] if direction in parts.index else 0
                text = _increase(parts.at[direction, "increase"]) if n else ""
                cells[f"{sign} {MOVED_BY}"] = f"{text} (n = {n})" if 0 < n < len(chosen) else text
            rows.append({"method": method, "setting": name, "chosen": ", ".join(f"{v:g}" for v in chosen)} | cells)
    result = pd.DataFrame(rows)
    result.attrs["note"] = (
        "Validation error less that of the chosen configuration, in points: mean over the replicates that the values "
        "chosen are of, or over n of them. One run each, with the same split and seed; another seed alone changes an "
        "error by as much as the small figures. An empty cell is a value that the method refuses, or all of whose "
        "chosen configurations failed."
    )
    return result


def _increase(value: float) -> str:
    return "failed" if math.isinf(value) else signed(value)


def perturbed_figure(settings: Sequence[tuple[str, pd.DataFrame]]) -> Figure | None:
    """A panel a setting: how much the validation error rises where one setting of a method is moved from what its
    search chose, mean over replicates. The setting that matters most is named; a cross at the edge is a failed run.
    None without any such runs."""
    if not settings:
        return None
    tables = [(name, increases(perturbed)) for name, perturbed in settings]
    methods = [m for m in METHODS if any(m in set(table["method"]) for _, table in tables)]
    figure, axes = panels(len(tables), width=4.6, height=0.9 + 0.34 * len(methods), sharey=True)
    for ax, (name, table) in zip(axes, tables, strict=True):
        finite = table["increase"][table["increase"].abs() < math.inf]
        edge = 2 * max(finite.max(), LINEAR) if len(finite) else LINEAR
        for place, method in enumerate(methods):
            own = table[(table["method"] == method) & table["increase"].notna()]
            points = sorted(zip(own["increase"].clip(upper=edge), own["direction"], own["setting"], strict=True))
            for x, direction, _ in points:
                marker = "x" if x == edge else DIRECTIONS[direction][1]
                ax.plot(x, place, marker=marker, markersize=7, color=colour(method), markeredgewidth=1, zorder=3)
            if points:
                x, _, setting = points[-1]
                ax.annotate(setting, (x, place), (8, 0), textcoords="offset points", va="center", fontsize=8)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_xscale("symlog", linthresh=LINEAR)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.margins(x=0.3)
        ax.grid(axis="x", linewidth=0.4)
        ax.set_title(name, fontsize=9)
        ax.set_yticks(range(len(methods)), methods)
        ax.set_ylim(len(methods) - 0.5, -0.5)
        ax.set_xlabel(f"rise of the validation error, points (< ÷ {MOVED_BY}, > × {MOVED_BY})")
    return figure
