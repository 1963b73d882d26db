"""Records → rows: which runs a table or a figure is made of."""

import json
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.experiments import CONFIGS, experiment_settings, flat
from configs.registry import ROOT
from configs.replicates import replicate_of
from configs.schema import RunConfig
from configs.settings import default_of
from results.record import Record, deployed_error, failed_files, load, record_files

RESULTS = ROOT / "results"
DEFAULTS = {item.name: default_of(item) for item in fields(RunConfig)}
SPLITS = ("validation", "test")
COLUMNS = ["method.name", "status", "run_id", "config", "replicate", "label", "deployed", "failed"]  # of every run


def load_runs(folder: Path) -> pd.DataFrame:
    """A row for each finished record in `folder`, in the order of run ids; and one, without errors and curves, for
    each setting all of whose runs failed.

    Columns: the settings by their dotted names (`method.name`, `net.width`, `epochs`, `seed` …), and as they are in
    `config`; `replicate` of a suite, None of other runs; `setting`, a text of all but the seed, and in a suite but for
    the method's own settings; `failed`, how many runs of this setting failed and have not succeeded since; `status`,
    `run_id`, `label`, `best_epoch`; `deployed`, the test error of the packed net, or of the trained one
    where there is no packed one; `validation.error`, `test.error` and what else the record has of each split;
    `cost.…`, `model.…`, `packed.…`, `environment.…`; `command`, and `curves` and `diagnostics`, the record's own
    mappings. What a record lacks is missing (NaN).

    UserError, naming the file, where one is cut short or no record."""
    done, lost = ([load(path) for path in files(folder)] for files in (record_files, failed_files))
    failed = Counter(map(_setting, lost))
    settings = set(map(_setting, done))
    for record in lost:
        if _setting(record) not in settings:
            settings.add(_setting(record))
            done.append(record)
    return _table([_row(record, failed) for record in done])


def load_failed(folder: Path) -> pd.DataFrame:
    """A row for each run that failed and has not succeeded since, with its settings."""
    return _table([_row(load(path), Counter()) for path in failed_files(folder)])


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """With the columns that every record fills, even where there is none."""
    return pd.DataFrame(rows, columns=None if rows else COLUMNS)


def _row(record: Record, failed: Counter[str]) -> dict[str, Any]:
    row = flat(record.config) | {"run_id": record.run_id, "best_epoch": record.best_epoch, "status": record.status}
    row |= {"command": record.command, "config": record.config, "replicate": replicate_of(record.config)}
    row |= {"label": record.data.get("label", ""), "setting": _setting(record)}
    row |= {"curves": record.curves, "diagnostics": record.diagnostics, "deployed": deployed_error(record)}
    for part in (*SPLITS, "cost", "model", "packed", "environment"):
        row |= flat(getattr(record, part) or {}, f"{part}.")
    if record.schema < 2 and row["replicate"]:
        row["cost.peak_memory"] = None  # the process', and so of other methods' runs too
    return row | {"failed": failed[row["setting"]]}


def _setting(record: Record) -> str:
    """What runs share that differ only in their seed; what a suite's runs of one method share, whose configuration is
    searched anew in each replicate. A setting of every run is left out where it has its default, which records from
    before there was such a setting do not name."""
    settings = {k: v for k, v in record.config.items() if k != "seed" and not (k in DEFAULTS and DEFAULTS[k] == v)}
    if replicate_of(record.config):
        settings |= {"split_seed": "by replicate", "method": record.config["method"]["name"]}
    return json.dumps(settings, sort_keys=True)


def of_experiment(runs: pd.DataFrame, experiment: str, configs: Path = CONFIGS) -> pd.DataFrame:
    """The runs that have what the experiment sets."""
    return where(runs, **experiment_settings(experiment, configs))


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
