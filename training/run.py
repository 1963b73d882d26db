"""A run: its configuration, its id, and where its files are."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from configs.schema import RunConfig, changed, first_difference, identity, run_id
from configs.settings import UserError
from results.files import check_writable
from results.record import FAILED, Record, load


class BusyError(UserError):
    """Another process is training this run."""


@dataclass(frozen=True)
class Run:
    """One configuration, and the names that follow from it."""

    config: RunConfig

    @cached_property
    def id(self) -> str:
        return run_id(changed(self.config))

    @property
    def record_path(self) -> Path:
        return Path(self.config.results_dir) / self.config.method.name / f"{self.id}.json"

    @property
    def failed_path(self) -> Path:
        """Where the record goes of a run that broke off."""
        return self.record_path.with_suffix(FAILED)

    @property
    def folder(self) -> Path:
        """Of the files that a run needs while it trains, and of its weights."""
        return Path(self.config.output_dir) / self.id

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.pt"

    @property
    def packed_beside(self) -> Path:
        """Where the packed net lies beside the weights."""
        return self.folder / "packed.safetensors"

    @property
    def packed_paths(self) -> list[Path]:
        """Where the packed net goes: beside the weights where these are kept, and to `packed_dir` where it is set."""
        paths = [self.packed_beside] if self.config.save_weights else []
        if self.config.packed_dir:
            paths.append(Path(self.config.packed_dir) / self.config.method.name / f"{self.id}.safetensors")
        return paths

    def finished(self) -> Record | None:
        """The finished record of this very configuration, or None; one without a test error does not serve a run with
        it.

        UserError where the record under this id was made with other values: a default has changed since."""
        if not self.record_path.exists():
            return None
        record = load(self.record_path)
        if difference := first_difference(record.config, identity(self.config)):
            raise UserError(
                f"{self.record_path} was made with another {difference} (a default has changed since); rerun=true "
                "replaces it"
            )
        return None if self.config.test and record.test is None else record

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the run's folder for this process and clears what a killed one left there. BusyError where another
        process holds it, another UserError where the folder cannot be written."""
        lock = FileLock(self.folder / ".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            raise BusyError(f"another process is training this run: {self.folder}") from None
        except OSError as error:
            raise UserError(f"cannot write {self.folder}: {error.strerror or error}") from error
        try:
            for stale in self.folder.glob(".*.tmp"):
                stale.unlink(missing_ok=True)
            check_writable(self.checkpoint)
            yield
        finally:
            with suppress(OSError):
                (self.folder / ".lock").unlink(missing_ok=True)  # while it is held: nobody else can have locked it
                self.folder.rmdir()  # only where nothing was kept in it
            lock.release()
