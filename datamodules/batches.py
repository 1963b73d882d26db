"""Batches of a data set that lies whole in memory: augmentation and scaling of a batch at a time."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from datamodules.loader import Batch, Loader, epoch_generator, mirrored

CROP_PADDING = 4  # pixels on each side, as usual for 32×32 images
EVALUATION_BATCH = 500  # no gradients are kept, so a larger batch than in training fits

AUGMENTATIONS = ("none", "crop", "crop_flip")


class Batches(Loader):
    """A `Loader` of images that lie on the device. In training,

    crop: `CROP_PADDING` black pixels are put around the image (after ZCA: zeros, the mean) and a window of the image's
    size is cut at one of the (2·padding + 1)² places, all equally likely. crop_flip: then mirrored with probability ½.

    images: [N, C, H, W], uint8 0..255, or float32 where the set was whitened as a whole.
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
        super().__init__(labels, batch_size, scale, seed)
        self.augment = augment
        self._padding = 0 if augment == "none" else CROP_PADDING
        self._images = F.pad(images, (self._padding,) * 4).contiguous()
        self._windows = _windows(self._images, images.shape[2], images.shape[3])

    def bytes(self) -> int:
        return self._images.nbytes + self.labels.nbytes

    def unscaled(self) -> Iterator[Batch]:
        return self._in_order() if self.seed is None else self._shuffled(self.seed)

    def _in_order(self) -> Iterator[Batch]:
        for part in self.parts():
            yield self._images[part], self.labels[part]

    def _shuffled(self, seed: int) -> Iterator[Batch]:
        # A generator looks at the epoch when the first batch is asked for. Lightning needs that: it makes the first
        # iterator of a run before the hook in which a callback can set the epoch that a resumed run is in.
        order, down, right, mirror = self.draws(seed, self.epoch)
        row, image = self._images.shape[3], self._images[0].numel()
        order, starts = order.to(self.labels.device), (order * image + down * row + right).to(self.labels.device)
        mirror = mirror.to(self.labels.device)
        y = self.labels[order]
        for part in self.parts():
            # index_select, not x[…]: on a CPU it copies rows, ten times as fast
            x = self._windows.index_select(0, starts[part])
            if self.augment == "crop_flip":
                x = mirrored(x, mirror[part])
            yield x, y[part]

    def draws(self, seed: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """One epoch's order (int64 [N]), then for the k-th image in it: offsets down and right, and mirrored or not."""
        n, places = len(self.labels), 2 * self._padding + 1
        generator = epoch_generator(seed, epoch)
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
