"""The tables of cells: beside the published figures, by mean error, costs. They test nothing. Missing is missing, never
zero."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from analysis.published import NOTES, SOURCES, plain, published_errors

DATASETS = ("MNIST", "SVHN", "CIFAR-10")
YES_NO = {True: "yes", False: "no"}
BUDGET = ("epochs", "batch", "loss")


def measured_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Cells as rows of an error table."""
    return pd.DataFrame(
        {
            "data set": table["dataset"],
            "method": table["method"],
            "test error, %": [spread(m, s) for m, s in zip(table["mean"], table["sd"], strict=True)],
            "n": [count(n, failed) for n, failed in zip(table["n"], table["failed"], strict=True)],
            "epochs": table["epochs"].astype(str),
            "net": table["net"],
            "binary activations": table["binary_activations"].map(YES_NO),
            "source": "this benchmark",
        }
    )


def published_rows(published: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Published figures as rows of an error table."""
    rows = published_errors(published, names)
    return pd.DataFrame(
        {
            "data set": rows["dataset"],
            "method": rows["method"],
            "test error, %": [spread(e, s) for e, s in zip(rows["error"], rows["spread"], strict=True)],
            "n": [text(n) for n in rows["n"]],
            "epochs": [text(e) for e in rows["epochs"]],
            "net": rows["net"].fillna(""),
            "binary activations": rows["binary_activations"].fillna(""),
            "source": rows["source"],
        }
    )


def error_table(table: pd.DataFrame, published: pd.DataFrame, source: str) -> pd.DataFrame:
    """One source's published rows, and below those of a data set ours of the same methods on it."""
    names, methods = SOURCES[source]
    other = published_rows(published, names)
    datasets = plain(other["data set"])
    mine = table[table["family"].isin(methods) & table["dataset"].isin(set(datasets))] if len(table) else table
    both = pd.concat([other, measured_rows(mine)] if len(mine) else [other], ignore_index=True)
    order = plain(both["data set"]).sort_values(kind="stable").index
    result = both.loc[order].reset_index(drop=True)
    if source in NOTES:
        result.attrs["note"] = NOTES[source]
    return result


def overview(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """The error rates of the sources on MNIST, SVHN and CIFAR-10, and ours (not those of a part of SVHN)."""
    names = [name for tables, _ in SOURCES.values() for name in tables if name != "bernoulli-2023"]
    other = published_rows(published, names).drop_duplicates(["data set", "method", "test error, %"])
    other = other[other["data set"].isin(DATASETS)]
    mine = table[table["dataset"].isin(DATASETS)] if len(table) else table
    both = pd.concat([other, measured_rows(mine)] if len(mine) else [other], ignore_index=True)
    order = both["data set"].map({name: i for i, name in enumerate(DATASETS)})
    return both.assign(order=order).sort_values("order", kind="stable", ignore_index=True).drop(columns="order")


def ranking(table: pd.DataFrame, dataset: str, net: str) -> pd.DataFrame:
    """Methods on one data set and net by mean test error, without a test of their differences: the tables of suites
    have those. Nets with real weights or activations do not compete; they stand below as "reference". "settings" is the
    number of settings of the method that one was chosen from (see `cells_of`). Where any cell has packed nets, there
    are their size, and predictions that are not the trained nets'. Where epochs, batch or loss differ, a note says
    so."""
    chosen = table[(table["dataset"] == dataset) & (table["net"] == net)].sort_values("mean", kind="stable")
    rows = pd.concat([chosen[chosen["binary"]], chosen[~chosen["binary"]]])
    differing = [name for name in BUDGET if rows[name].nunique(dropna=False) > 1]
    result = pd.DataFrame(
        {
            "method": rows["method"].to_numpy(),
            "test error, %": [spread(m, s) for m, s in zip(rows["mean"], rows["sd"], strict=True)],
            **packed_columns(rows),
            "95 % interval": [interval(m, h) for m, h in zip(rows["mean"], rows["half_width"], strict=True)],
            "n": [count(n, failed) for n, failed in zip(rows["n"], rows["failed"], strict=True)],
            "epochs": rows["epochs"].to_numpy(),
            **{name: rows[name].map(text).to_numpy() for name in differing if name != "epochs"},
            "binary activations": rows["binary_activations"].map(YES_NO).to_numpy(),
            "settings": rows["settings"].to_numpy(),
            "role": ["competitor" if binary else "reference" for binary in rows["binary"]],
        }
    )
    if differing:
        result.attrs["note"] = f"These rows differ in {' and '.join(differing)}, so their errors cannot be compared."
    return result


def packed_columns(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Columns on packed nets, empty for cells without; no columns where no cell has any."""
    if rows["packed_bytes"].isna().all():
        return {}
    return {
        "packed, KiB": [number(size / 2**10, 1) for size in rows["packed_bytes"]],
        "float32, KiB": [number(size / 2**10, 1) for size in rows["float32_bytes"]],
        "differ": [number(n, 0) for n in rows["differ"]],
    }


def costs(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """What training took: medians over a cell's runs; the binarization gap is their mean.

    target: the last two columns are epochs and seconds until the validation error first was at most `target` %; empty
    where one of the runs never got there."""
    rows = []
    for cell in _rows(table[table["n"] > 0]):
        reached = [first_below(curves, target) for curves in cell.runs["curves"]]
        epochs = pd.Series([r[0] for r in reached], dtype=float)
        seconds = pd.Series([r[1] for r in reached], dtype=float)
        runs = cell.runs
        rows.append(
            {
                "data set": cell.dataset,
                "net": cell.net,
                "method": cell.method,
                "images/s": number(runs["cost.images_per_second"].median(), 0),
                "peak memory, MiB": number(runs["cost.peak_memory"].median() / 2**20, 0),
                "bytes a weight, optimizer": number(runs["model.state_bytes_each"].median(), 0),
                "bytes a weight, itself": number(runs["model.weight_bytes_each"].median(), 0),
                "binarization gap, points": number(cell.gap),
                f"epochs to {target:g} %": number(epochs.median() if epochs.notna().all() else None, 0),
                f"seconds to {target:g} %": number(seconds.median() if seconds.notna().all() else None, 0),
            }
        )
    result = pd.DataFrame(rows)
    result.attrs["note"] = (
        "Images/s and seconds are those of the machine that each run had, which may have done other work at the same "
        "time: benchmarks/ compares speed."
    )
    return result


def first_below(curves: dict[str, list[Any]], target: float) -> tuple[float | None, float | None]:
    """Epoch and elapsed seconds at which `val_error` first is at most `target`; (None, None) where it never is."""
    for epoch, error, elapsed in zip(curves["epoch"], curves["val_error"], curves["elapsed"], strict=True):
        if error is not None and error <= target:
            return epoch, elapsed
    return None, None


def _rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())


def number(value: float | None, digits: int = 2) -> str:
    return "" if value is None or value != value else f"{value:.{digits}f}"


def text(value: Any) -> str:
    """A cell of published.csv as text: whole numbers without a point, missing ones empty."""
    return "" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def count(n: int, failed: int) -> str:
    """`3`, or `3 (2 failed)` where that many runs of the setting failed."""
    return f"{n} ({failed} failed)" if failed else str(n)


def spread(mean: float, sd: float | None) -> str:
    return number(mean) + (f" ± {number(sd)}" if number(sd) else "")


def signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}" if value == value else ""  # −0.0 + 0.0 is 0.0


def limits(low: float, high: float, shown: Callable[[float], str] = number) -> str:
    """`2.46 to 2.92`, empty where there is no interval."""
    return f"{shown(low)} to {shown(high)}" if low == low and high == high else ""


def interval(mean: float, half_width: float, shown: Callable[[float], str] = number) -> str:
    return limits(mean - half_width, mean + half_width, shown)


def with_limits(text: str, limits: str) -> str:
    """`2.41 (1.99 to 2.83)`; the text alone where there is no interval."""
    return f"{text} ({limits})" if limits else text
