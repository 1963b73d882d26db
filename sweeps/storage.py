"""Where studies are kept: SQLite, a journal file, or a database server; and the locks that tell who is at work."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from configs.settings import UserError

STORAGES = "sqlite:///FILE, journal:FILE, postgresql://USER:PASSWORD@HOST/DATABASE or mysql://…"
SQLITE_PATIENCE = 60  # seconds to wait while another process writes

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def file_of(url: str) -> Path | None:
    """The file that a storage is; None of a database server."""
    for prefix in ("sqlite:///", "journal:"):
        if url.startswith(prefix) and len(url) > len(prefix):
            return Path(url.removeprefix(prefix))
    return None


def shown(url: str) -> str:
    """The URL without its password."""
    return url if file_of(url) else make_url(url).render_as_string(hide_password=True)


def lock_folder(url: str, study: str, folder: Path) -> Path:
    """Beside a file, where every process that opens it finds the locks; else in the sweep's own folder."""
    file = file_of(url)
    return file.with_name(f"{file.name}.locks") / study if file else folder / "locks"


_opened: dict[tuple[int, str], BaseStorage] = {}  # by process: a suite has many studies in one storage


def exists(url: str) -> bool:
    """Whether the storage is there already; of a server nobody knows before it is asked."""
    file = file_of(url)
    return file is None or file.exists()


def open_storage(url: str, locks: Path) -> BaseStorage:
    """Opens the storage, once in a process, and makes it where it is new: one process at a time, as two would make the
    same tables.

    UserError for a URL of no known kind, a missing driver, and a storage that cannot be opened."""
    file = file_of(url)
    try:
        if not file and make_url(url).get_backend_name() not in ("postgresql", "mysql"):
            raise ArgumentError("unknown kind")
    except ArgumentError as error:
        raise UserError(f"storage={url} is not valid: {STORAGES}") from error
    key = (os.getpid(), url)
    try:
        locks.mkdir(parents=True, exist_ok=True)
        if key not in _opened or not exists(url):
            with FileLock(locks.parent / "open" if file else locks / "open"):
                _opened[key] = _open(url, file)
        return _opened[key]
    except ImportError as error:
        cause = error.__cause__ or error.__context__ or error
        raise UserError(f"storage={shown(url)} needs a driver that is not installed: {cause}") from error
    except (OSError, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise UserError(f"storage={shown(url)} cannot be opened: {' '.join(str(error).split())}") from error


def _open(url: str, file: Path | None) -> BaseStorage:
    if file and url.startswith("journal:"):
        return JournalStorage(JournalFileBackend(os.fspath(file)))
    if file:
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": SQLITE_PATIENCE}})
    return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})  # a server drops connections in long trials


@contextmanager
def writing(url: str) -> Iterator[None]:
    """UserError, in one line, where the storage cannot be written or read: a full disk, a server that is gone."""
    try:
        yield
    except (OSError, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else None
        text = str(getattr(cause, "orig", None) or cause or error)
        raise UserError(f"storage={shown(url)} fails: {' '.join(text.split())}") from error
