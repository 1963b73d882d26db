"""A process that holds a lock. It imports no torch, so that it starts at once."""

import multiprocessing
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

from filelock import FileLock


def start_holder(lock: Path, sign: Path) -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(lock, sign))
    process.start()
    return process


def hold(lock: Path, sign: Path) -> None:
    """Takes a lock, makes the file `sign`, and waits to be killed."""
    with FileLock(lock):
        sign.touch()
        signal.pause()
