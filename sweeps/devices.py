"""One GPU for each process, where a machine has several: a lock for each device chooses it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

VISIBLE = "CUDA_VISIBLE_DEVICES"  # CUDA reads it when a process first uses a GPU


@contextmanager
def own_gpu(device: str, locks: Path | None = None) -> Iterator[None]:
    """Lets this process see one GPU only, the first that no other process of a sweep or suite holds. Where there is one
    or none, or `device` is no GPU's, nothing changes; where all are held, processes share them in turn.

    To be called before the process first uses a GPU. locks: their folder; null: one that all users of the machine
    share."""
    names = gpu_names() if device in ("auto", "cuda") else []
    if len(names) < 2:
        yield
        return
    folder = locks or Path(tempfile.gettempdir(), "binarized-gpus")
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # another user's, who did the same
        folder.chmod(0o1777)
    before = os.environ.get(VISIBLE)
    lock, name = _free(names, folder) or (None, names[os.getpid() % len(names)])
    os.environ[VISIBLE] = name
    try:
        yield
    finally:
        if lock:
            lock.release()
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


def gpu_names() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()  # asks the driver; CUDA itself is not started by it
    given = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return given[:count] if given else [str(number) for number in range(count)]


def _free(names: list[str], folder: Path) -> tuple[FileLock, str] | None:
    for name in names:
        lock = FileLock(folder / name.replace("/", "_"), mode=0o666)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return lock, name
    return None
