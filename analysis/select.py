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
    """A row for each finished record under `results`, in the order of run ids; and one, without errors and curves, for
    each setting all of whose runs failed.

    Columns: the settings by their dotted names (`method.name`, `net.width`, `epochs`, `seed` …); `setting`, a text of
    all but the seed; `failed`, how many runs of this setting failed and have not succeeded since; `run_id`, `label`,
    `best_epoch`; `validation.error`, `test.error` and what else the record has of each split; `cost.…`, `model.…`; and
    `curves` and `diagnostics`, the record's own mappings. What a record lacks is missing (NaN)."""
    done = [json.loads(path.read_text()) for path in _records(results)]
    lost = [json.loads(path.read_text()) for path in _records(results, failed=True)]
    failed = Counter(_setting(record["config"]) for record in lost)
    settings = {_setting(record["config"]) for record in done}
    for record in lost:
        if _setting(record["config"]) not in settings:
            settings.add(_setting(record["config"]))
            done.append(record)
    return pd.DataFrame([_row(record, failed) for record in done])


def _row(record: dict[str, Any], failed: Counter[str]) -> dict[str, Any]:
    row = flat(record["config"]) | {"run_id": record["run_id"], "best_epoch": record["best_epoch"]}
    row |= {"label": record["data"].get("label", ""), "setting": _setting(record["config"])}
    row |= {name: record[name] for name in ("curves", "diagnostics")}
    for part in (*SPLITS, "cost", "model"):
        row |= flat(record[part] or {}, f"{part}.")
    return row | {"failed": failed[row["setting"]]}


def _records(results: Path, failed: bool = False) -> list[Path]:
    """Finished records; or the failed ones of runs that have no other."""
    suffix = ".failed.json"
    paths = [path for path in sorted(results.glob("*/*.json")) if path.name.endswith(suffix) == failed]
    return [
        path for path in paths if not failed or not path.with_name(path.name.removesuffix(suffix) + ".json").exists()
    ]


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
    """The runs that have what the experiment sets, of all training examples where it sets no `limit_train`."""
    return where(runs, **{"limit_train": [0]} | settings_of(experiment, folder))


def main_setting(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the setting that has most of them, the first of equals."""
    return runs[runs["setting"] == runs["setting"].mode().iloc[0]] if len(runs) else runs


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
