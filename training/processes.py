"""The processes that train one net together, a device each: how they start, meet, and end."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments import SLURMEnvironment

from .command_line import TOLD
from .errors import TrainingError
from .place import HOST, OneMachine, Place

GRACE = 10.0  # seconds that a process has to fail by itself, where another has


@contextmanager
def together(place: Place, target: Callable[..., object], *arguments: Any) -> Iterator[Place]:
    """Within, the other processes of this machine run `target(place, *arguments)`, where nobody else has started them.
    Yields the place of this process, which is to `join` the others.

    All end together. Where this process only lost the connection, what another failed with is raised. `target` and
    `arguments` are pickled."""
    if place.count == 1 or place.environment:
        try:
            yield place
        finally:
            leave()
        return
    store = dist.TCPStore(HOST, 0, place.count, is_master=True, wait_for_workers=False)
    place = replace(place, environment=OneMachine(0, store.port), port=store.port)
    helpers: list[_Helper] = []
    _served[store.port] = store, helpers
    try:
        with _threads(max(1, torch.get_num_threads() // place.count)) as threads:
            for rank in range(1, place.count):
                its = replace(place, rank=rank, local_rank=rank, environment=None)
                helpers.append(_Helper(its, threads, target, arguments))
            yield place
            leave()
            for helper in helpers:
                helper.ended.wait()
            if failure := _cause(helpers):
                raise failure
    except BaseException as error:
        if not is_lost_connection(error):
            raise
        for helper in helpers:
            helper.ended.wait(GRACE)
        raise (_cause(helpers) or error) from error
    finally:
        for helper in helpers:
            helper.end()
        del _served[store.port]
        leave()


def join(place: Place, device: torch.device) -> None:
    """Waits until all processes of the run are here. From then on they can exchange tensors on `device`."""
    if place.count == 1 or dist.is_initialized():
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    options: dict[str, Any] = {"device_id": device} if device.type == "cuda" else {}
    if place.port:
        options |= {"store": _meet(place)}
    elif isinstance(place.environment, SLURMEnvironment):
        options |= {"init_method": f"tcp://{place.environment.main_address}:{place.environment.main_port}"}
    dist.init_process_group(backend, rank=place.rank, world_size=place.count, **options)


def _meet(place: Place) -> dist.TCPStore:
    """The store where processes of one machine find each other. The first one waits here for the others, because
    elsewhere it could not tell that one of them has failed."""
    assert place.port
    if not place.first:
        store = dist.TCPStore(HOST, place.port, place.count, is_master=False)
        store.set(f"here/{place.rank}", "")
        return store
    store, helpers = _served[place.port]
    while not store.check([f"here/{helper.rank}" for helper in helpers]):
        if failure := _cause(helpers):
            raise failure
        time.sleep(0.02)
    return store


def leave() -> None:
    """Ends the exchange with the other processes, where there was one: from now on this process is by itself."""
    if dist.is_initialized():
        with suppress(Exception):  # of processes that are gone
            dist.destroy_process_group()


_served: dict[int, tuple[dist.TCPStore, "list[_Helper]"]] = {}  # port → store of this process, and who is to come


class _Helper:
    """A process that the first one starts on its machine, and what it tells: that it `ended`, and with which `failure`.

    `lost`: it failed because another process was gone."""

    def __init__(self, place: Place, threads: int, target: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe(duplex=False)
        self.rank, self.ended, self.stopping = place.rank, threading.Event(), False
        self.failure: Exception | None = None
        self.lost = False
        self.process = context.Process(target=_follow, args=(theirs, threads, place, target, arguments))
        self.process.start()
        theirs.close()
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()

    def _listen(self) -> None:
        try:
            self.failure, self.lost = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            self.failure = TrainingError(f"process {self.rank} ended with exit status {self.process.exitcode}")
        self.ended.set()
        if self.failure and not self.lost and not self.stopping:
            # gloo notices that a process is gone, but NCCL would wait for long
            threading.Timer(GRACE, self._abort).start()

    def _abort(self) -> None:
        if not self.stopping and dist.is_initialized():
            with suppress(Exception):
                dist.distributed_c10d._abort_process_group()

    def end(self) -> None:
        self.stopping = True
        if self.process.is_alive() and not self.ended.is_set():
            self.process.kill()  # it has nothing to put in order, and may be waiting for this process
        self.process.join()
        self.reader.join()
        self.connection.close()


def _cause(helpers: list[_Helper]) -> Exception | None:
    """What the first of them failed with that did not only lose the connection."""
    failures = [helper for helper in helpers if helper.failure]
    return next((helper.failure for helper in sorted(failures, key=lambda helper: helper.lost)), None)


def _follow(
    connection: Connection, threads: int, place: Place, target: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    """What a started process does. It tells the first one over `connection` how it ends, and prints nothing but the
    traceback of a fault."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process has it too, and ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    assert place.port
    try:
        target(replace(place, environment=OneMachine(place.local_rank, place.port)), *arguments)
        connection.send((None, False))
    except TOLD as error:
        connection.send((error, False))
    except BaseException as error:
        lost = is_lost_connection(error)
        if not lost:
            traceback.print_exc()
        text = " ".join(str(error).split())
        connection.send((TrainingError(f"process {place.rank}: {type(error).__name__}: {text}"), lost))
    finally:
        leave()


def is_lost_connection(error: BaseException) -> bool:
    """Whether a process only failed because another was gone."""
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL"))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _threads(count: int) -> Iterator[int]:
    """Within, this process and those that it starts compute with so many threads; those that OMP_NUM_THREADS names,
    where it is set, are for each process."""
    before, given = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    count = before if given else count
    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)
    try:
        yield count
    finally:
        torch.set_num_threads(before)
        if given is None:
            del os.environ["OMP_NUM_THREADS"]
