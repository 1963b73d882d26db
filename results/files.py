"""Files that appear whole or not at all, and runs that one process at a time trains."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from configs.settings import UserError


class BusyError(UserError):
    """Another process is at it."""


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


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Holds the run's folder for this process and clears what a killed one left there. BusyError where it is held."""
    check_writable(folder / "last.ckpt")
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"another process is training this run: {folder}") from None
    try:
        for stale in folder.glob(".*.tmp"):
            stale.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
        with suppress(OSError):
            (folder / ".lock").unlink(missing_ok=True)
            folder.rmdir()  # only where nothing was kept in it
