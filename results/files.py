"""Files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path

from configs.settings import UserError


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
    """UserError, before any work, where `path` could not be written after it."""
    probe = path.with_name(f".{path.name}.probe.{os.getpid()}")
    try:
        write_whole(probe, " " * 65536)
    except UserError as error:
        raise UserError(str(error).replace(str(probe), str(path))) from error
    probe.unlink()
