"""What the tests of this folder share beside fixtures: reading records, and real processes to kill."""

import multiprocessing
import os
import signal
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from optuna.trial import TrialState

from results.record import Record, load
from sweeps.study import Sweep
from sweeps.workers import trials_of

# Forks of a process that has imported everything: no worker waits for that, and none is a fork of the test's own
# process, in which autograd may have started threads.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["sweeps.study"])

EPOCHS = 32
LONG = ["method=ste", f"epochs={EPOCHS}", "checkpoint_seconds=0", "pruner=none"]


@dataclass
class Outcome:
    """What a command left on the terminal."""

    status: int
    out: str
    err: str


def records_in(folder: Path) -> dict[str, Record]:
    """The records below a folder, by file name."""
    return {path.name: load(path) for path in sorted(folder.rglob("*.json"))}


def start(target, *arguments) -> BaseProcess:
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def work(sweep: Sweep, output: Path) -> None:
    with output.open("a", buffering=1) as file, redirect_stdout(file):
        sweep.run()


def wait_for(condition, process: BaseProcess):
    """Looks again and again, until there is something, and returns it."""
    while not (found := condition()):
        assert process.is_alive(), "it ended before it could be killed"
        time.sleep(0.002)
    return found


def held_by(sweep: Sweep, process: BaseProcess):
    """The trial that a process works on, once it has a checkpoint."""
    for trial in trials_of(sweep.study):
        workers = trial.user_attrs.get("workers", [""])
        if trial.state == TrialState.RUNNING and workers[-1].endswith(f":{process.pid}"):
            return trial if list(sweep.folder.glob(f"trial-{trial.number}/*/last.ckpt")) else None
    return None


def kill(process: BaseProcess) -> None:
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
