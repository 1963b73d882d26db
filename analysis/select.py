"""Records → rows: which runs a table or a figure is made of."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
EXPERIMENTS = ROOT / "configs" / "experiment"
SPLITS = ("validation", "test")


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"method": {"lr": 0.1}}` → `{"method.lr": 0.1}`."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = value
    return result


def load_runs(results: Path) -> pd.DataFrame:
    """A row for each finished record under `results`, in the order of run ids.

    Columns: the settings by their dotted names (`method.name`, `net.width`, `epochs`, `seed` …); `setting`, a text of
    all but the seed; `failed`, how many runs of this setting failed; `run_id`, `label`, `best_epoch`;
    `validation.error`, `test.error` and what else the record has of each split; `cost.…`, `model.…`; and `curves` and
    `diagnostics`, the record's own mappings. What a record lacks is missing (NaN)."""
    rows = []
    failed = failures(results)
    for path in _records(results):
        record = json.loads(path.read_text())
        row = flat(record["config"]) | {"run_id": record["run_id"], "best_epoch": record["best_epoch"]}
        row |= {"label": record["data"]["label"], "setting": _setting(record["config"])}
        row |= {name: record[name] for name in ("curves", "diagnostics")}
        row["failed"] = failed[row["setting"]]
        for part in (*SPLITS, "cost", "model"):
            row |= flat(record[part] or {}, f"{part}.")
        rows.append(row)
    return pd.DataFrame(rows)


def failures(results: Path) -> Counter[str]:
    """Setting → how many of its runs failed and have not succeeded since."""
    records = (json.loads(path.read_text()) for path in _records(results, failed=True))
    return Counter(_setting(record["config"]) for record in records)


def _records(results: Path, failed: bool = False) -> list[Path]:
    return [path for path in sorted(results.glob("*/*.json")) if path.name.endswith(".failed.json") == failed]


def _setting(config: dict[str, Any]) -> str:
    """What runs share whose seeds alone differ."""
    return json.dumps({key: value for key, value in config.items() if key != "seed"}, sort_keys=True)


def settings_of(experiment: str, folder: Path = EXPERIMENTS) -> dict[str, list[Any]]:
    """What configs/experiment/<experiment>.yaml sets: dotted name → the values that its runs have."""
    content: Any = OmegaConf.to_container(OmegaConf.load(folder / f"{experiment}.yaml"))
    chosen: dict[str, list[Any]] = {}
    for default in content.pop("defaults", []):
        if isinstance(default, str):
            chosen |= settings_of(default, folder)
        else:
            ((group, name),) = default.items()
            chosen[group.removeprefix("override ").strip("/") + ".name"] = [name]
    grid = content.pop("hydra", {}).get("sweeper", {}).get("params", {})
    chosen |= {key: [value] for key, value in flat(content).items()}
    for key, values in grid.items():
        name = f"{key}.name" if key in ("method", "dataset", "net") else key
        chosen[name] = [_value(text) for text in str(values).split(",")]
    return chosen


def of_experiment(runs: pd.DataFrame, experiment: str, folder: Path = EXPERIMENTS) -> pd.DataFrame:
    """The runs that have what the experiment sets."""
    return where(runs, **settings_of(experiment, folder))


def where(runs: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The runs with these values; a list means any of them. Dotted names are given as `**{"net.width": 256}`."""
    for name, wanted in values.items():
        if name not in runs:
            return runs.iloc[:0]
        runs = runs[runs[name].isin(wanted if isinstance(wanted, list) else [wanted])]
    return runs


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def epochs_of(runs: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """One row per run and epoch: the curves, beside the named columns of the run."""
    parts = [
        pd.DataFrame(row["curves"]).assign(**{name: row[name] for name in ("run_id", *columns)})
        for _, row in runs.iterrows()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
