"""The record of a run: its schema, and how it is written, read and found. Tables are a pure function of records."""

import json
import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from configs.settings import UserError

from .files import write_whole
from .wrong import decode

SCHEMA = 2
FAILED = ".failed.json"  # ends the name of a failed run's record
PARTS = ("config", "environment", "data", "model", "validation", "cost", "curves", "diagnostics")


@dataclass
class Record:
    """What one run leaves behind. Errors are in %, times in seconds, memory in bytes.

    - `validation`, `test`: of the chosen epoch, that of the lowest validation error or with `select=last` the last one
      (`error`, `loss`, `binarized_error`, `binarization_gap` in points of error; other `…_error`s of the method), and
      of the last epoch (`last_error`). The test set is read at the end only; `test` is None where `test=false`,
      `validation` is empty where no example was set aside.
    - of the test set also `wrong`, which examples were (`results/wrong.py`; `wrong_examples` below reads it), and
      `corrupted`, the error on corrupted test images (`datamodules/corruptions.py`).
    - `binarized_error` is that of the same weights with every weight and hidden activation replaced by its sign.
    - `curves`: column → value per epoch. `diagnostics`: layer → quantity → value per epoch.
    - `cost`: `train_seconds`, `elapsed_seconds`, `images_per_second`, `peak_memory` (in schema 1 that of the process,
      which may have had other runs before), and `load`, the machine's load average at the end: beyond the run's
      threads, others ran beside it, and its seconds are no measure of speed.
    - `environment` has `commits`, of the code of all parts of a run that went on with other code.
    - `packed`: the chosen net as it is deployed (`packed/`): `bytes` of its file and `float32_bytes` of the trained
      state; for each split `error`, by the packed `engine`, and `differ`, on how many of the `images` its class is
      another than the trained net's, with the first of these in `differences`; `images_per_second` of the engine on the
      test set; `seconds` that packing and all this took. `refused` is the reason where the net cannot be packed. Empty
      where `test=false`, and in records from before nets were packed.
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
    packed: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[Any]] = field(default_factory=dict)
    diagnostics: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    error: str | None = None
    schema: int = SCHEMA


def load(path: Path) -> Record:
    """Reads a record. UserError, naming the file, where it is no record or of a newer schema."""
    try:
        content = json.loads(path.read_text())
        if content["schema"] > SCHEMA:
            raise UserError(f"{path} has schema {content['schema']}, this version reads up to {SCHEMA}")
        record = Record(**content)
        for part in PARTS:
            if not isinstance(getattr(record, part), dict):
                raise TypeError(f"its {part} is no mapping")
        for part in ("test", "packed"):
            if not isinstance(getattr(record, part), dict | None):
                raise TypeError(f"its {part} is neither a mapping nor empty")
        return record
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not a readable record: {error}; remove it, or train again with rerun=true"
        ) from error


def deployed_error(record: Record) -> float:
    """Test error in % of the packed net, or of the trained one where there is none; NaN without a test."""
    packed = (record.packed or {}).get("test", {}).get("error")
    return packed if packed is not None else (record.test or {}).get("error", math.nan)


def wrong_examples(record: Record) -> np.ndarray | None:
    """Which of the test examples the chosen weights tell wrong, bool [n] in the order of the test set; None in records
    from before they were kept, and where `test=false`."""
    text = (record.test or {}).get("wrong")
    return decode(text) if text else None


def save(record: Record, path: Path) -> None:
    """Writes the record whole or not at all. UserError, naming the file, where there is no space or no permission."""
    write_whole(path, _render(asdict(record)))


def _render(content: dict[str, Any]) -> str:
    """Indented JSON with one line for each list of numbers, floats outside the configuration to 7 digits."""
    content = _rounded(content) | {"config": content["config"]}
    text = json.dumps(content, indent=1, default=str, ensure_ascii=False)
    string, numbers = r'"(?:[^"\\]|\\.)*"', r"\[[^\[\]{}\"]*\]"  # brackets within a string are no list
    one_line = re.compile(f"{string}|{numbers}")
    return one_line.sub(lambda m: " ".join(m[0].split()) if m[0][0] == "[" else m[0], text) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}") if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value


def record_files(folder: Path, method: str = "*") -> list[Path]:
    """The finished records in `folder`, which has a folder for each method, in the order of their paths."""
    return [path for path in sorted(folder.glob(f"{method}/*.json")) if not path.name.endswith(FAILED)]


def failed_files(folder: Path) -> list[Path]:
    """The records of failed runs that have not succeeded since."""
    return [
        path
        for path in sorted(folder.glob(f"*/*{FAILED}"))
        if not path.with_name(path.name.removesuffix(FAILED) + ".json").exists()
    ]
