"""Folders of suites that never ran: their configurations, tuned files, records and tables of trials, with known
errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from configs.replicates import run_seeds
from configs.schema import run_id
from results.record import Record, save
from results.wrong import encode

RUN = {
    "epochs": 20,
    "batch_size": 100,
    "loss": "cross_entropy",
    "precision": "32",
    "gradient_clip": 0,
    "limit_train": 0,
}
FLOAT = ("real",)
REAL_ACTIVATIONS = ("real", "binaryconnect", "bayesbinn")


@dataclass
class Folders:
    root: Path

    @property
    def configs(self) -> Path:
        return self.root / "configs"

    @property
    def tuned(self) -> Path:
        return self.root / "configs/tuned"

    @property
    def results(self) -> Path:
        return self.root / "results"

    def runs(self) -> list[Path]:
        return sorted(self.results.glob("runs/*/*.json"))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make_folders(root: Path) -> Folders:
    folders = Folders(root)
    write(folders.configs / "run.yaml", yaml.safe_dump({"defaults": ["run_schema"], **RUN, "device": "auto"}))
    (folders.results / "runs").mkdir(parents=True)
    return folders


def make_suite(
    folders: Folders, label: str, *, dataset="mnist", net=None, replicates=3, runs=2, trials=4, **more
) -> None:
    """Its file; `more` are settings of a run."""
    own = {"replicates": replicates, "runs": runs, "trials": trials, "net": net or {"width": 64}, "epochs": 5, **more}
    write(folders.configs / f"suite/{label}.yaml", _with_names({"dataset": dataset, "net": "mlp"}, own))


def make_runs(
    folders: Folders,
    label: str,
    errors: Mapping[str, Sequence[Sequence[float]]],
    *,
    dataset="mnist",
    net=None,
    epochs=5,
    examples=0,
    corrupted: Mapping[str, float] | None = None,
    trials: Mapping[str, Sequence[Sequence[float]]] | None = None,
    lr=0.25,
    loss="cross_entropy",
) -> None:
    """Method → replicate → the test error of each run, None of one that failed: tuned files and records. `examples`: so
    many are in the test set, and the first of them are wrong."""
    for method, replicates in errors.items():
        for r, run_errors in enumerate(replicates, start=1):
            budget = RUN | {"epochs": epochs, "loss": loss, "split_seed": r}
            own = {"method": {"lr": lr * r}, "net": net or {"width": 64}}
            names = {"method": method, "dataset": dataset, "net": "mlp"}
            write(folders.tuned / label / method / f"r{r}.yaml", _with_names(names, budget | own))
            for seed, error in zip(run_seeds(r, len(run_errors)), run_errors, strict=True):
                make_record(folders, names, budget | own, seed, error, examples, corrupted)
    for method, searches in (trials or {}).items():
        for r, values in enumerate(searches, start=1):
            lines = [
                f"{i},{'failed' if e is None else 'complete'},{'' if e is None else e},0.1"
                for i, e in enumerate(values)
            ]
            text = "\n".join(["trial,state,validation_error,lr", *lines]) + "\n"
            write(folders.results / f"trials/{label}/{method}/r{r}.csv", text)


def make_record(folders, names, settings, seed, error, examples=0, corrupted=None) -> None:
    groups = {group: {"name": name} | settings.get(group, {}) for group, name in names.items()}
    changed = {**settings, **groups, "seed": seed}
    name = run_id(changed)
    defaults = {"method": {"lr_schedule": "cosine"}, "net": {"depth": 2}, "dataset": {"augment": "none"}}
    config = changed | {group: defaults[group] | groups[group] for group in groups}
    method, failed = names["method"], error is None
    record = Record(
        name,
        "failed" if failed else "done",
        "2026-01-01",
        "python run.py",
        config,
        {},
        {"label": names["dataset"].upper()},
    )
    path = folders.results / "runs" / method / f"{name}{'.failed' if failed else ''}.json"
    if failed:
        record.error = "it diverged"
    else:
        record.best_epoch, record.validation = 1, {"error": error + 0.1}
        record.test = {"error": error, "binarization_gap": 0.0}
        if examples:
            record.test["wrong"] = encode(np.arange(examples) < round(error / 100 * examples))
        if corrupted:
            record.test["corrupted"] = {kind: error + plus for kind, plus in corrupted.items()}
        record.model = {"binary_weights": method not in FLOAT, "binary_activations": method not in REAL_ACTIVATIONS,
                        "reconstruction": False, "state_bytes_each": 4.0, "weight_bytes_each": 4.0,
                        "training_bytes": 12 * 2**10}  # fmt: skip
        record.cost = {"images_per_second": 1e4, "peak_memory": 2**30, "elapsed_seconds": 20.0 + seed % 1000}
        record.curves = {"epoch": [1, 2], "val_error": [2 * error, error], "elapsed": [1.0, 2.0]}
        if method == "bop":
            record.curves["blocked"] = [0.75, 1.0]
    path.parent.mkdir(parents=True, exist_ok=True)
    save(record, path)


def _with_names(names: Mapping[str, str], settings: Mapping) -> str:
    defaults = [{f"override /{group}": name} for group, name in names.items()]
    return yaml.safe_dump({"defaults": defaults, **settings}, sort_keys=False)
