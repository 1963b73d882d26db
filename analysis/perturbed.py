"""How much depends on each setting that a search chose: validation errors of `python -m sweeps.perturb`."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.plotting import Figure, colour, panels
from analysis.verdict import signed
from configs.registry import METHODS
from configs.settings import UserError

COLUMNS = ["method", "replicate", "setting", "chosen", "ratio", "increase"]
LINEAR = 1.0  # points up to which the figure's axis is linear; beyond, logarithmic


def load_perturbed(folder: Path, suite: str, methods: Sequence[str]) -> pd.DataFrame:
    """A row for each moved setting in <folder>/<suite>/<method>/r<replicate>.csv: `method`, `replicate`, `setting`, its
    `chosen` value, `ratio` of the moved value to it, and `increase`, the validation error less that of the chosen
    configuration, in points; NaN where either run failed. UserError, naming the file, where one is no such table."""
    rows = []
    for path in sorted(folder.glob(f"{suite}/*/r*.csv")):
        if path.parent.name not in methods:
            continue
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            errors = table["validation_error"].replace("", "nan").astype(float)
            settings = table.drop(columns=["trial", "state", "validation_error"])
            for place in range(1, len(table)):
                (name,) = settings.columns[settings.iloc[place] != settings.iloc[0]]
                chosen, moved = (float(settings[name][row]) for row in (0, place))
                rows.append(
                    [path.parent.name, int(path.stem[1:]), name, chosen, moved / chosen, errors[place] - errors[0]]
                )
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path} is not a readable table of perturbed runs: {error}") from error
    return pd.DataFrame(rows, columns=COLUMNS)


def increases(perturbed: pd.DataFrame) -> pd.DataFrame:
    """`method`, `setting`, `chosen` (a list, one of each replicate), and as `lower` and `higher` the mean increase over
    the replicates of moving it this way. NaN where no replicate has such a run, or one of them failed."""
    columns = ["method", "setting", "chosen", "lower", "higher"]
    rows = []
    for (method, name), own in perturbed.groupby(["method", "setting"], sort=False):
        both = [own.loc[side, "increase"].mean(skipna=False) for side in (own["ratio"] < 1, own["ratio"] > 1)]
        rows.append([method, name, own.groupby("replicate")["chosen"].first().tolist(), *both])
    return pd.DataFrame(rows, columns=columns)


def factor_of(perturbed: pd.DataFrame) -> float:
    """What the settings were multiplied with, and divided by, as far as rounded values tell."""
    ratios = perturbed["ratio"]
    return float(f"{ratios.where(ratios > 1, 1 / ratios).median():.2g}")


def perturbed_table(perturbed: pd.DataFrame) -> pd.DataFrame:
    """A row for each setting of a method, in the order of the registry."""
    found, factor = increases(perturbed), f"{factor_of(perturbed):g}"
    found = found.sort_values("method", key=lambda names: names.map(list(METHODS).index), kind="stable")
    result = pd.DataFrame(
        {
            "method": found["method"],
            "setting": found["setting"],
            "chosen": [", ".join(f"{value:g}" for value in values) for values in found["chosen"]],
            f"÷ {factor}": found["lower"].map(signed),
            f"× {factor}": found["higher"].map(signed),
        }
    )
    result.attrs["note"] = (
        "Validation error less that of the chosen configuration, in points: mean over the replicates that the values "
        "chosen are of. One run each, with the same split and seed; an empty cell is a value that the method refuses, "
        "or a failed run."
    )
    return result


def perturbed_figure(settings: Sequence[tuple[str, pd.DataFrame]]) -> Figure | None:
    """A panel a setting: how much the validation error rises where one setting of a method is moved from what its
    search chose, mean over replicates. The setting that matters most is named. None without any such runs."""
    if not settings:
        return None
    tables = [(name, increases(perturbed), factor_of(perturbed)) for name, perturbed in settings]
    methods = [m for m in METHODS if any(m in set(table["method"]) for _, table, _ in tables)]
    figure, axes = panels(len(tables), width=4.6, height=0.9 + 0.34 * len(methods), sharey=True)
    for ax, (name, table, factor) in zip(axes, tables, strict=True):
        for place, method in enumerate(methods):
            own = table[table["method"] == method]
            for direction, shape in (("lower", "<"), ("higher", ">")):
                ax.scatter(
                    own[direction], [place] * len(own), 64, colour(method), marker=shape, edgecolors="white", zorder=3
                )
            largest = zip(own[["lower", "higher"]].max(axis=1), own["setting"], strict=True)
            if shown := [(x, setting) for x, setting in largest if x == x]:
                x, setting = max(shown)
                ax.annotate(setting, (x, place), (8, 0), textcoords="offset points", va="center", fontsize=8)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_xscale("symlog", linthresh=LINEAR)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.margins(x=0.2)
        ax.grid(axis="x", linewidth=0.4)
        ax.set_title(name, fontsize=9)
        ax.set_yticks(range(len(methods)), methods)
        ax.set_ylim(len(methods) - 0.5, -0.5)
        ax.set_xlabel(f"rise of the validation error, points (< divided by {factor:g}, > multiplied)")
    return figure
