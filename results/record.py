"""The record of a run: schema, run id, atomic write, load. Tables are a pure function of records."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from configs.schema import RunConfig, changed, first_difference, identity
from configs.settings import UserError
from results.files import write_whole

SCHEMA = 1
FAILED = ".failed.json"


@dataclass
class Record:
    """What one run leaves behind. Errors are in %, times in seconds, memory in bytes.

    - `validation`, `test`: of the checkpoint with the lowest validation error (`error`, `loss`, `binarized_error`,
      `binarization_gap` in points of error; other `…_error`s of the method) and of the last epoch (`last_error`). The
      test set is read at the end alone; `test` is None where `test=false`.
    - `binarized_error` is that of the same weights with every weight and hidden activation replaced by its sign.
    - `curves`: column → value per epoch. `diagnostics`: layer → quantity → value per epoch.
    - `status`: `done`, or `failed` with `error`; a failed run's record stands beside its id as `<id>.failed.json`."""

    run_id: str
    status: str
    created: str
    command: str
    config: dict[str, Any]
    environment: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    best_epoch: int | None = None
    validation: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] | None = None
    cost: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[Any]] = field(default_factory=dict)
    diagnostics: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    error: str | None = None
    schema: int = SCHEMA


def run_id(config: RunConfig) -> str:
    """`<dataset>-<net>-s<seed>-<hash>`: a name to read, and a hash of all that decides the outcome."""
    text = json.dumps(changed(config), sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return f"{config.dataset.name}-{config.net.name}-s{config.seed}-{digest}"


def record_path(config: RunConfig) -> Path:
    return Path(config.results_dir) / config.method.name / f"{run_id(config)}.json"


def failed_path(config: RunConfig) -> Path:
    return record_path(config).with_suffix(FAILED)


def record_files(folder: Path) -> list[Path]:
    """The finished records in `folder` (results/runs), sorted by method and run id."""
    return [path for path in sorted(folder.glob("*/*.json")) if not path.name.endswith(FAILED)]


def failed_files(folder: Path) -> list[Path]:
    """The records of failed runs in `folder` that have not succeeded since, sorted by method and run id."""
    failed = [path for path in sorted(folder.glob("*/*.json")) if path.name.endswith(FAILED)]
    return [path for path in failed if not path.with_name(path.name.removesuffix(FAILED) + ".json").exists()]


def find(config: RunConfig) -> Record | None:
    """The finished record of this very configuration, or None; one without a test error does not serve a run with it.

    UserError where the record under this id was made with other values: a default has changed since."""
    path = record_path(config)
    if not path.exists():
        return None
    record = load(path)
    difference = first_difference(record.config, identity(config))
    if difference:
        raise UserError(
            f"{path} was made with another {difference} (a default has changed since); rerun=true replaces it"
        )
    return None if config.test and record.test is None else record


def load(path: Path) -> Record:
    """Reads a record. UserError, naming the file, where it is no record or of a newer schema."""
    try:
        content = json.loads(path.read_text())
        if content["schema"] > SCHEMA:
            raise UserError(f"{path} has schema {content['schema']}, this version reads up to {SCHEMA}")
        return Record(**content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not a readable record: {error}; remove it, or train again with rerun=true"
        ) from error


def save(record: Record, path: Path) -> None:
    """Writes the record whole or not at all. UserError, naming the file, where there is no space or no permission."""
    write_whole(path, _render(asdict(record)))


def _render(content: dict[str, Any]) -> str:
    """Indented JSON with one line for each list of numbers, floats outside the configuration to 7 digits."""
    content = _rounded(content) | {"config": content["config"]}
    text = json.dumps(content, indent=1, default=str, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m.group().split()), text) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}") if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value
