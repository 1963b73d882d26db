"""Data files on disk: downloaded through torchvision, read, or refused in one line."""

import hashlib
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from scipy.io.matlab import MatReadError

from configs.settings import UserError

WHERE = "set data_dir (or BNN_DATA) to a folder that has it"
AGAIN = "delete it, and it is downloaded at the next start"
# What the readers of idx, pickle and .mat files raise on damaged bytes.
UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    MatReadError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zlib.error,
)


def download(name: str, folder: Path, get: Callable[[], object], hint: str = WHERE) -> None:
    """Calls torchvision's `get`, which checks md5 sums and keeps nothing that fails them as data.

    A download that fails is told in one line, with `hint` as what to do, and leaves no empty folders.
    """
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        get()
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError, zlib.error) as error:
        for path in created:
            with suppress(OSError):
                path.rmdir()
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{name} is not in {folder} and could not be downloaded ({lines[-1]}): {hint}") from error


@contextmanager
def reading(path: Path, cure: str = AGAIN) -> Iterator[None]:
    """Turns the errors of a missing, truncated or garbled file into one line that names it and says what to do."""
    try:
        path.stat()  # not every reader says FileNotFoundError
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: {WHERE}") from error
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: permission denied") from error
    except UNREADABLE as error:
        raise damaged(path, cure) from error


def damaged(path: Path, cure: str = AGAIN) -> UserError:
    """What to raise for a file that is not as it should be, with how to put it right."""
    return UserError(f"{path} is damaged or not the published file: {cure}")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
