"""What the loaders share, of sets in memory and of streamed ones: order, batches, and the parts that processes have."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Share:
    """The part that a process has: number `rank` of `count` parts, which are equally large or differ by one. Together
    they are the whole, and nothing is in two of them."""

    rank: int = 0
    count: int = 1

    def of(self, total: int) -> slice:
        """The places of this part in a list of `total`."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)


class Loader:
    """Iterates over `(x, y)`: x float32 [B, C, H, W], scaled, and y int64 [B], both on the device that trains.

    With a `seed` (training) each example comes once an epoch. Order and augmentation are a pure function of (seed,
    epoch), drawn on the CPU by a generator of their own: no other random draw moves them, every device gets the same
    ones, and a resumed run only needs `set_epoch`. Where several processes train, each has its `share` of every batch,
    so that together they train on the batches that one process would have. Only a last batch of fewer than two examples
    for each process is left out, since batch norm cannot take it.

    Without a seed (evaluation) the order is that of the set, all examples are given, and none is augmented; of several
    processes each has its share of the whole set.

    labels: those of all examples. batch_size: that of the whole batch, of all processes. scale: a batch as it is
    stored → float32."""

    def __init__(
        self,
        labels: torch.Tensor,
        batch_size: int,
        scale: Callable[[torch.Tensor], torch.Tensor],
        seed: int | None,
    ) -> None:
        self.labels, self.batch_size, self.scale, self.seed = labels, batch_size, scale, seed
        self.epoch, self.share = 0, Share()

    def unscaled(self) -> Iterator[Batch]:
        """The batches before scaling: pixels 0..255, where the set is not whitened as a whole."""
        raise NotImplementedError

    def bytes(self) -> int:
        """That the set takes in memory."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Batch]:
        for x, y in self.unscaled():
            yield self.scale(x), y

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the iterators whose first batch is yet to come."""
        self.epoch = epoch

    def for_run(self, seed: int, batch_size: int) -> Self:
        """The same examples with another order, for training."""
        other = copy.copy(self)
        other.seed, other.batch_size, other.epoch = seed, batch_size, 0
        return other

    def shared(self, share: Share) -> Self:
        """The same loader for a process that has this share."""
        other = copy.copy(self)
        other.share = share
        return other

    def whole(self) -> Self:
        """The same loader for a process that has all of it."""
        return self.shared(Share())

    def __len__(self) -> int:
        if self.seed is None:
            mine = self.share.of(len(self.labels))
            return -((mine.start - mine.stop) // self.batch_size)
        full, rest = divmod(len(self.labels), self.batch_size)
        return full + (rest >= 2 * self.share.count)

    def whole_size(self, index: int) -> int:
        """Examples of the training batch `index`, of all processes together."""
        return min(self.batch_size, len(self.labels) - index * self.batch_size)

    def parts(self) -> Iterator[slice]:
        """Where this process' part of each batch is, in the order of the examples."""
        if self.seed is None:
            mine = self.share.of(len(self.labels))
            for start in range(mine.start, mine.stop, self.batch_size):
                yield slice(start, min(start + self.batch_size, mine.stop))
        else:
            for index in range(len(self)):
                start, part = index * self.batch_size, self.share.of(self.whole_size(index))
                yield slice(start + part.start, start + part.stop)


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """The generator of an epoch's order and augmentation."""
    # SeedSequence mixes the two into 32 bits: torch's CPU generator ignores all higher bits of its seed.
    mixed = int(np.random.SeedSequence(seed, spawn_key=(epoch,)).generate_state(1)[0])
    return torch.Generator().manual_seed(mixed)


def mirrored(x: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """x [B, C, H, W] with the images that `chosen` (bool [B]) marks mirrored left to right."""
    count = len(x)
    both = torch.cat((x, x.flip(3)))
    return both.index_select(0, torch.arange(count, device=x.device) + count * chosen)
