"""Runs → cells: a row for each method, data set and net, of which tables and figures are made."""

import math
from typing import Any

import pandas as pd

from analysis.net_label import net_of
from analysis.selection import where
from analysis.statistics import summarize

ERRORS = ("test.binarization_gap", "validation.error")
PACKED = ("packed.test.differ", "packed.bytes", "packed.float32_bytes")
MODEL_FLAGS = ["model.reconstruction", "model.binary_weights", "model.binary_activations"]


def cells_of(runs: pd.DataFrame, parts: bool = False) -> pd.DataFrame:
    """One row for each method, data set and net: the runs of one setting, which differ only in their seed, or those of
    a suite. A method that was run with real activations and with ±1 has a row for each, with a `key` of its own;
    `family` is the method.

    Of several settings of a method, a suite's counts, else those with the most seeds, and of these the one with the
    lowest mean validation error. Where a suite's counts, runs of other epochs have cells of their own, with a `key`
    such as `ste, 40 epochs`, and `other_epochs` is true. `n` values are averaged, those of the seeds or of a suite's
    replicates, each the mean over its seeds: test errors of the packed nets, where there are some. `settings` says how
    many there were to choose from, `failed` how many runs of the chosen one have no error because they failed (where
    all did, n is 0). Runs on a part of the training set (`limit_train`) are cells only where `parts` are asked for, and
    those without a test are none.

    Where all runs of the setting have a packed net: `packed_bytes` and `float32_bytes` of one; `differ`, all
    predictions that are not the trained nets'."""
    if runs.empty:
        return pd.DataFrame()
    runs = runs if parts else where(runs, limit_train=0)
    runs = runs.assign(net=[net_of(row) for _, row in runs.iterrows()])
    runs = runs.assign(**{name: runs.get(name, math.nan) for name in (*ERRORS, *PACKED, "replicate")})
    for name in MODEL_FLAGS:  # a run that failed early has none of its own: those of the method's other runs
        others = runs.groupby("method.name")[name].transform("first")
        runs[name] = runs[name].where(runs[name].notna(), others).eq(True)
    kinds = runs.groupby("method.name")["model.binary_activations"].nunique()
    both = set(kinds[kinds > 1].index)
    rows = []
    for (method, label, net, signs), group in runs.groupby(["method.name", "label", "net", "model.binary_activations"]):
        tested = group[group["deployed"].notna()]
        if tested.empty and group["best_epoch"].notna().any():  # all without a test
            continue
        found = [g for _, g in (group if tested.empty else tested).groupby("setting")]
        key = f"{method}, activations ±1" if method in both and signs else str(method)
        where_run = {"family": method, "dataset": label, "net": net, "binary_activations": bool(signs)}
        for suffix, part in _by_epochs(found).items():
            cell = _cell(key + suffix, min(part, key=_rank), len(part))
            rows.append(where_run | {"other_epochs": bool(suffix)} | cell)
    return pd.DataFrame(rows)


def _by_epochs(settings: list[pd.DataFrame]) -> dict[str, list[pd.DataFrame]]:
    """What the key of a cell ends with → the settings that it is chosen from: all, or where a suite's counts, those of
    its epochs, and those of others by themselves."""
    best = min(settings, key=_rank)
    if not best["replicate"].notna().all():
        return {"": settings}
    parts: dict[str, list[pd.DataFrame]] = {"": []}  # the suite's first
    for runs in settings:
        epochs = int(runs["epochs"].iloc[0])
        parts.setdefault("" if epochs == best["epochs"].iloc[0] else f", {epochs} epochs", []).append(runs)
    return parts


def _rank(runs: pd.DataFrame) -> tuple[bool, int, float]:
    """The setting with the lowest rank counts."""
    return bool(runs["replicate"].isna().all()), -len(runs), _validation(runs)


def _cell(key: str, runs: pd.DataFrame, settings: int) -> dict[str, Any]:
    """What a cell has of its runs; `settings` is the number of settings that it was chosen from."""
    first = runs.iloc[0]
    test = summarize(runs.groupby(runs["replicate"].fillna(runs["seed"]))["deployed"].mean().tolist())
    packed = test.n > 0 and runs["packed.bytes"].notna().all()
    return {
        "method": f"{key} ({note})" if (note := note_of(first)) else key,
        "key": key,
        "epochs": int(first["epochs"]),
        "batch": first.get("batch_size"),
        "loss": first.get("loss"),
        "binary": bool(first["model.binary_weights"] and first["model.binary_activations"]),
        "n": test.n,
        "failed": int(first["failed"]),
        "mean": test.mean,
        "sd": test.sd,
        "half_width": test.half_width,
        "validation": runs["validation.error"].mean(),
        "gap": runs["test.binarization_gap"].mean(),
        "packed_bytes": runs["packed.bytes"].median() if packed else math.nan,
        "float32_bytes": runs["packed.float32_bytes"].median() if packed else math.nan,
        "differ": runs["packed.test.differ"].sum() if packed else math.nan,
        "settings": settings,
        "runs": runs,
    }


def note_of(run: Any) -> str:
    """What a table says beside a method's name: that it is a reconstruction, or how it departs from its source."""
    if run["model.reconstruction"]:
        return "reconstruction"
    if run["method.name"] != "bernoulli" or run.get("method.how") != "nominal":
        return ""
    return "nominal variance" + (", hard activations" if run.get("method.activations") == "hard" else "")


def _validation(runs: pd.DataFrame) -> float:
    """Mean validation error; infinite where no example was set aside."""
    mean = float(runs["validation.error"].mean())
    return math.inf if math.isnan(mean) else mean


def compared(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The data sets and nets that two methods or more have an error on, one of them binary in weights and
    activations."""
    if table.empty:
        return []
    groups = table[table["n"] > 0].groupby(["dataset", "net"])
    chosen = groups["binary"].any() & (groups["family"].nunique() > 1)
    return [(str(dataset), str(net)) for dataset, net in chosen[chosen].index]
