"""Which process works on which trial: each on one at a time, and on all of them whatever happens to a process.

A process holds a lock while it works on a trial, and the system frees the lock if the process dies. A trial that runs
and that nobody holds is therefore one that was interrupted: the next process that looks for work goes on with it, from
its checkpoint, under the same number and with the same values. Nothing is lost, and nothing is tried twice.

Machines that share a database server but no disk do not see one another's locks: there a trial without a lock file is
another machine's, and is left to it unless `takeover` says that the others have stopped.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from optuna import Study
from optuna.trial import FrozenTrial, Trial, TrialState


class TrialQueue:
    """Hands out trials of `study` until it has `total`. `suggest` chooses a trial's values; `locks` is their folder."""

    def __init__(
        self,
        study: Study,
        total: int,
        suggest: Callable[[Trial], None],
        locks: Path,
        one_disk: bool = True,
        takeover: bool = False,
    ) -> None:
        self.study, self.total, self.suggest = study, total, suggest
        self.locks, self.one_disk, self.takeover = locks, one_disk, takeover

    @contextmanager
    def next(self) -> Iterator[Trial | None]:
        """An interrupted trial, else a new one, held by this process; None where the study has all its trials."""
        with FileLock(self.locks / "claim"):
            trial, lock = self._interrupted() or self._new() or (None, None)
            if trial:
                workers = [*trial.user_attrs.get("workers", []), f"{socket.gethostname()}:{os.getpid()}"]
                trial.set_user_attr("workers", workers)
                self.suggest(trial)
        try:
            yield trial
        finally:
            if trial and lock:
                if not self._runs(trial.number):
                    Path(lock.lock_file).unlink(missing_ok=True)
                lock.release()

    def _interrupted(self) -> tuple[Trial, FileLock] | None:
        for found in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            path = self.locks / str(found.number)
            if not (self.one_disk or self.takeover or path.exists()):
                continue
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            if self._runs(found.number):
                return Trial(self.study, found._trial_id), lock  # Optuna has no other way to go on with a trial
            path.unlink(missing_ok=True)  # it ended a moment ago
            lock.release()
        return None

    def _new(self) -> tuple[Trial, FileLock] | None:
        if len(trials_of(self.study)) >= self.total:
            return None
        trial = self.study.ask()
        if sum(other.number < trial.number for other in trials_of(self.study)) >= self.total:
            trial.set_user_attr("surplus", True)  # a machine with another disk was faster
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        lock = FileLock(self.locks / str(trial.number))
        lock.acquire(timeout=0)
        return trial, lock

    def _runs(self, number: int) -> bool:
        return self.study.get_trials(deepcopy=False)[number].state == TrialState.RUNNING


def trials_of(study: Study) -> list[FrozenTrial]:
    """The trials that count, in their order."""
    return [trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get("surplus")]


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Lets `count_at_work` of this folder know of this process."""
    path = folder / f"{socket.gethostname()}-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
        path.unlink(missing_ok=True)


def count_at_work(folder: Path) -> int:
    """How many processes are at work, of those that see this folder; what a killed one left is cleared."""
    count = 0
    for path in folder.glob("*"):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            count += 1
        else:
            path.unlink(missing_ok=True)
            lock.release()
    return count
