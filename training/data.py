"""The data of a run, and how the runs of one process share what was read: tuning trains many nets on the same data."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from configs.schema import RunConfig
from datamodules import DATASETS
from datamodules.base import DataModule

KEPT_BYTES = 2**30  # in all; what is larger by itself is not kept


class KeptData:
    """Data sets as they were read and split, by all that decides that: the newest ones, of at most `limit` bytes."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self.limit = limit
        self.sets: OrderedDict[str, DataModule] = OrderedDict()

    def get(self, key: str) -> DataModule | None:
        """The data kept under this key, now the newest; None where there is none."""
        if key in self.sets:
            self.sets.move_to_end(key)
        return self.sets.get(key)

    def keep(self, key: str, data: DataModule) -> None:
        """Keeps the data, and lets go the oldest while there are more bytes than `limit`."""
        self.sets[key] = data
        while self.sets and sum(kept.bytes() for kept in self.sets.values()) > self.limit:
            self.sets.popitem(last=False)


_kept: ContextVar[KeptData | None] = ContextVar("kept", default=None)


@contextmanager
def keep_data(limit: int = KEPT_BYTES) -> Iterator[KeptData]:
    """Within, a data set is read once for all runs that split and scale it alike: files are taken not to change."""
    token = _kept.set(KeptData(limit))
    try:
        yield _kept.get()  # type: ignore[misc]
    finally:
        _kept.reset(token)


def open_data(config: RunConfig, device: torch.device) -> DataModule:
    """The data of a run, read but for its test set."""
    kept = _kept.get()
    key = repr((config.dataset, config.data_dir, config.split_seed, config.limit_train, device))
    if kept and (found := kept.get(key)):
        return found.for_run(config.seed, config.batch_size)
    data = DATASETS[config.dataset.name](
        config.dataset,
        config.data_dir,
        batch_size=config.batch_size,
        seed=config.seed,
        split_seed=config.split_seed,
        limit=config.limit_train,
        device=device,
    )
    data.prepare_data()
    data.setup("fit")
    if kept:
        kept.keep(key, data.for_run(config.seed, config.batch_size))
    return data
