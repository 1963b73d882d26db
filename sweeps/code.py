"""Which code a study is of: two workers on one study run the same code, or one of them is refused."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from configs.registry import ROOT
from configs.settings import UserError
from training.environment import commit

PARTS = ("run.py", "configs", "datamodules", "methods", "packed", "results", "sweeps", "training")


class OtherCodeError(UserError):
    """A study was begun with other code."""


@cache
def code_hash(root: Path = ROOT) -> str:
    """First 10 hexadecimal digits of the SHA-256 over the Python files that a run depends on, as they are at the first
    call in this process. Records, tuned files, texts, tests and analysis are no part of it; a changed file that is not
    committed is."""
    digest = hashlib.sha256()
    for part in PARTS:
        path = root / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if file.exists():
                digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:10]


@cache
def code() -> dict[str, Any]:
    """What a study keeps of the code that began it: its hash, the commit, and whether there were changes beside it."""
    name, dirty = commit()
    return {"hash": code_hash(), "commit": name, "dirty": dirty}


def code_text(code: dict[str, Any]) -> str:
    """`commit 1a2b3c4`, `commit 1a2b3c4 with changes`, or the hash where there is no git."""
    if not code.get("commit"):
        return f"code {code['hash']}"
    return f"commit {code['commit'][:10]}" + (" with changes" if code.get("dirty") else "")


def check_code(what: str, begun: dict[str, Any] | None, other_code: bool) -> None:
    """OtherCodeError where `what` was begun with other code and `other_code` does not allow that."""
    if begun and begun["hash"] != code()["hash"] and not other_code:
        raise OtherCodeError(
            f"{what} was begun with other code ({code_text(begun)}; this is {code_text(code())}): go on with that code "
            "or with other_code=true, and every record names its own"
        )
