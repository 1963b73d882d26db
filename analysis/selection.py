"""Records → rows: which runs a table or a figure is made of."""

import json
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.experiments import CONFIGS, experiment_settings, flat
from configs.registry import ROOT
from configs.schema import RunConfig
from configs.settings import default_of
from results.record import Record, failed_files, load, record_files

RESULTS = ROOT / "results"
DEFAULTS = {item.name: default_of(item) for item in fields(RunConfig)}
SPLITS = ("validation", "test")


def load_runs(folder: Path) -> pd.DataFrame:
    """A row for each finished record in `folder`, in the order of run ids; and one, without errors and curves, for
    each setting all of whose runs failed.

    Columns: the settings by their dotted names (`method.name`, `net.width`, `epochs`, `seed` …); `setting`, a text of
    all but the seed; `failed`, how many runs of this setting failed and have not succeeded since; `run_id`, `label`,
    `best_epoch`; `validation.error`, `test.error` and what else the record has of each split; `cost.…`, `model.…`,
    `packed.…`; and `curves` and `diagnostics`, the record's own mappings. What a record lacks is missing (NaN).

    UserError, naming the file, where one is cut short or no record."""
    done = [load(path) for path in record_files(folder)]
    lost = [load(path) for path in failed_files(folder)]
    failed = Counter(map(_setting, lost))
    settings = set(map(_setting, done))
    for record in lost:
        if _setting(record) not in settings:
            settings.add(_setting(record))
            done.append(record)
    return pd.DataFrame([_row(record, failed) for record in done])


def _row(record: Record, failed: Counter[str]) -> dict[str, Any]:
    row = flat(record.config) | {"run_id": record.run_id, "best_epoch": record.best_epoch}
    row |= {"label": record.data.get("label", ""), "setting": _setting(record)}
    row |= {"curves": record.curves, "diagnostics": record.diagnostics}
    for part in (*SPLITS, "cost", "model", "packed"):
        row |= flat(getattr(record, part) or {}, f"{part}.")
    return row | {"failed": failed[row["setting"]]}


def _setting(record: Record) -> str:
    """What runs share that differ only in their seed. A setting of every run is left out where it has its default,
    which records from before there was such a setting do not name."""
    shared = {k: v for k, v in record.config.items() if k != "seed" and not (k in DEFAULTS and DEFAULTS[k] == v)}
    return json.dumps(shared, sort_keys=True)


def of_experiment(runs: pd.DataFrame, experiment: str, configs: Path = CONFIGS) -> pd.DataFrame:
    """The runs that have what the experiment sets, of all training examples where it sets no `limit_train`."""
    return where(runs, **{"limit_train": [0]} | experiment_settings(experiment, configs))


def main_setting(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the setting that has most of them, the first of equals."""
    return runs[runs["setting"] == runs["setting"].mode().iloc[0]] if len(runs) else runs


def where(runs: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The runs with these values; a list means any of them, None a missing value. Dotted names are given as
    `**{"net.width": 256}`."""
    for name, wanted in values.items():
        valid = wanted if isinstance(wanted, list) else [wanted]
        if name not in runs:
            if None not in valid:
                return runs.iloc[:0]
            continue
        runs = runs[runs[name].isin(valid) | (runs[name].isna() & (None in valid))]
    return runs


def epochs_of(runs: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """One row per run and epoch: the curves, beside the named columns of the run."""
    parts = [
        pd.DataFrame(row["curves"]).assign(**{name: row[name] for name in ("run_id", *columns)})
        for _, row in runs.iterrows()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
