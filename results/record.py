"""The record of a run: schema, run id, atomic write, load. Tables are a pure function of records."""

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from configs.schema import RunConfig, changed, identity
from configs.settings import UserError

SCHEMA = 1


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
    return record_path(config).with_suffix(".failed.json")


def find(config: RunConfig) -> Record | None:
    """The finished record of this very configuration, or None; one without a test error does not serve a run with it.

    UserError where the record under this id was made with other values: a default has changed since."""
    path = record_path(config)
    if not path.exists():
        return None
    record = load(path)
    difference = _first_difference(record.config, json.loads(json.dumps(identity(config), default=str)))
    if difference:
        raise UserError(
            f"{path} was made with another {difference} (a default has changed since); rerun=true replaces it"
        )
    return None if config.test and record.test is None else record


def _first_difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str | None:
    for name in old.keys() & new.keys():
        if isinstance(old[name], dict) and isinstance(new[name], dict):
            if found := _first_difference(old[name], new[name], f"{prefix}{name}."):
                return found
        elif old[name] != new[name]:
            return prefix + name
    return None


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


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes to a temporary file beside `path`, syncs it and renames it. UserError where that cannot be done."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def check_writable(path: Path) -> None:
    """UserError before any training where the record could not be written afterwards."""
    probe = path.with_name(f".{path.name}.probe.{os.getpid()}")
    write_whole(probe, " " * 65536)
    probe.unlink()


def _render(content: dict[str, Any]) -> str:
    """Indented JSON with one line for each list of numbers, floats to 7 significant digits."""
    text = json.dumps(_rounded(content), indent=1, default=str, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m.group().split()), text) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}") if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value
