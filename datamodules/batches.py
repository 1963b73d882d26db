"""Batches of a data set that lies whole in memory: seeded order, augmentation and scaling of a batch at a time."""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F

CROP_PADDING = 4  # pixels on each side, as usual for 32×32 images
EVALUATION_BATCH = 500  # no gradients are kept, so a larger batch than in training fits

AUGMENTATIONS = ("none", "crop", "crop_flip")


class Batches:
    """Iterates over `(x, y)`: x float32 [B, C, H, W], scaled, and y int64 [B], both on the device of `images`.

    With a seed (training) the order and the augmentation are a pure function of (seed, epoch), drawn on the CPU by a
    generator of their own: no other random draw moves them, every device gets the same ones, and a resumed run only
    needs `set_epoch`. Each example comes once an epoch; only a last batch of a single example is left out, since batch
    norm cannot take it. Without a seed (evaluation) the order is that of `images`, all are given, none is augmented.

    crop: `CROP_PADDING` black pixels are put around the image (after ZCA: zeros, the mean) and a window of the image's
    size is cut at one of the (2·padding + 1)² places, all equally likely. crop_flip: then mirrored with probability ½.

    images: [N, C, H, W], uint8 0..255, or float32 where the set was whitened as a whole.
    scale: batch as stored → float32.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        batch_size: int,
        scale: Callable[[torch.Tensor], torch.Tensor],
        *,
        seed: int | None = None,
        augment: str = "none",
    ) -> None:
        self.labels, self.batch_size, self.seed, self.augment, self.epoch = labels, batch_size, seed, augment, 0
        self._scale = scale
        self._padding = 0 if augment == "none" else CROP_PADDING
        self._images = F.pad(images, (self._padding,) * 4).contiguous()
        self._windows = _windows(self._images, images.shape[2], images.shape[3])

    def for_run(self, seed: int, batch_size: int) -> "Batches":
        """The same examples with another order, for training."""
        other = copy.copy(self)
        other.seed, other.batch_size, other.epoch = seed, batch_size, 0
        return other

    def bytes(self) -> int:
        return self._images.nbytes + self.labels.nbytes

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the iterators whose first batch is yet to come."""
        self.epoch = epoch

    @property
    def images(self) -> torch.Tensor:
        """As they are stored: before augmentation and scaling."""
        p, (height, width) = self._padding, self._images.shape[2:]
        return self._images[:, :, p : height - p, p : width - p]

    def __len__(self) -> int:
        full, rest = divmod(len(self.labels), self.batch_size)
        return full + (rest > 0 if self.seed is None else rest > 1)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return self._in_order() if self.seed is None else self._shuffled(self.seed)

    def _in_order(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for x, y in zip(self._images.split(self.batch_size), self.labels.split(self.batch_size), strict=True):
            yield self._scale(x), y

    def _shuffled(self, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        # A generator looks at the epoch when the first batch is asked for. Lightning needs that: it makes the first
        # iterator of a run before the hook in which a callback can set the epoch that a resumed run is in.
        order, down, right, mirror = self.draws(seed, self.epoch)
        row, image = self._images.shape[3], self._images[0].numel()
        order, starts = order.to(self.labels.device), (order * image + down * row + right).to(self.labels.device)
        mirror = mirror.to(self.labels.device)
        y = self.labels[order]
        for i in range(len(self)):
            batch = slice(i * self.batch_size, (i + 1) * self.batch_size)
            # index_select, not x[…]: on a CPU it copies rows, ten times as fast
            x = self._windows.index_select(0, starts[batch])
            if self.augment == "crop_flip":
                x = _mirror(x, mirror[batch])
            yield self._scale(x), y[batch]

    def draws(self, seed: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """One epoch's order (int64 [N]), then for the k-th image in it: offsets down and right, and mirrored or not."""
        n, places = len(self.labels), 2 * self._padding + 1
        # SeedSequence mixes the two into 32 bits: torch's CPU generator ignores all higher bits of its seed.
        mixed = int(np.random.SeedSequence(seed, spawn_key=(epoch,)).generate_state(1)[0])
        generator = torch.Generator().manual_seed(mixed)
        order = torch.randperm(n, generator=generator)
        down, right = torch.randint(places, (2, n), generator=generator)
        mirror = torch.randint(2, (n,), generator=generator).bool()
        return order, down, right, mirror


def _windows(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """View [S, C, height, width] of contiguous images: entry s is the window whose first value is the s-th in memory.

    So one index per image cuts a crop out of it, for a whole batch in one gather and without copying the image first.
    """
    channels, rows, columns = images.shape[1:]
    last = (channels - 1) * rows * columns + (height - 1) * columns + width - 1
    return images.as_strided((images.numel() - last, channels, height, width), (1, rows * columns, columns, 1))


def _mirror(x: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """x [B, C, H, W] with the images that `chosen` (bool [B]) marks mirrored left to right."""
    count = len(x)
    both = torch.cat((x, x.flip(3)))
    return both.index_select(0, torch.arange(count, device=x.device) + count * chosen)
