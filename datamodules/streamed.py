"""Batches of a data set that does not fit in memory: worker processes decode and cut its images, a batch at a time."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.transforms.functional import pil_to_tensor

from configs.settings import UserError
from datamodules.class_folders import ImageList, open_image
from datamodules.corruptions import corrupt
from datamodules.loader import Batch, Loader, epoch_generator, mirrored

INTERPOLATIONS = ("bilinear", "bicubic")

Place = tuple[int, int]  # the number of an image in its list, and the seed of its crop


class StreamedBatches(Loader):
    """A `Loader` of image files: `workers` processes (None: as many as there are threads) decode them and cut uint8
    [3, S, S] out of each; a batch is then mirrored and scaled on `device`. In memory are the list of files, and the
    batches that workers have ready.

    `cut` is a transform of torchvision's v2. It is called on every image by itself, with torch's generator seeded for
    this image: on a batch it would draw once, and all would have the same crop. So an image of an epoch is a function
    of (seed, epoch), however many workers there are.

    files: those of the set. index: the places in `files` of this loader's examples. mirror: whether a training image is
    mirrored with probability ½. corruption: of `corruptions.py`, put on every image. UserError, from the iterator, for
    an image that cannot be decoded."""

    def __init__(
        self,
        files: ImageList,
        index: np.ndarray,
        batch_size: int,
        scale: Callable[[torch.Tensor], torch.Tensor],
        *,
        cut: v2.Transform,
        workers: int | None,
        device: torch.device,
        seed: int | None = None,
        mirror: bool = False,
        corruption: str | None = None,
    ) -> None:
        super().__init__(torch.from_numpy(files.labels[index]), batch_size, scale, seed)
        self.files, self.index, self.workers, self.device = files, torch.from_numpy(index), workers, device
        self._cut, self._mirror, self._corruption = cut, mirror, corruption

    def bytes(self) -> int:
        return self.files.bytes() + self.index.nbytes + self.labels.nbytes

    def unscaled(self) -> Iterator[Batch]:
        order, crops, mirror = self._draws()
        parts = list(self.parts())
        loader: Any = DataLoader(
            _Images(self.files, self._cut, self._corruption),
            batch_sampler=_Places(self.index[order], crops, parts),
            collate_fn=_as_it_is,
            # now, since several processes that train share the threads out after they have read the data
            num_workers=torch.get_num_threads() if self.workers is None else self.workers,
            pin_memory=self.device.type == "cuda",
            # of its own: the DataLoader draws a number, and from torch's generator that would move all other draws
            generator=torch.Generator(),
        )
        labels = self.labels[order]
        for part, images in zip(parts, loader, strict=True):
            if isinstance(images, str):
                raise UserError(images)
            x = images.to(self.device, non_blocking=True)
            if self._mirror and self.seed is not None:
                x = mirrored(x, mirror[part].to(self.device))
            yield x, labels[part].to(self.device)

    def _draws(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One epoch's order, then for the k-th image in it: the seed of its crop, and mirrored or not."""
        n = len(self.labels)
        if self.seed is None:
            return torch.arange(n), torch.zeros(n, dtype=torch.int64), torch.zeros(n, dtype=torch.bool)
        generator = epoch_generator(self.seed, self.epoch)
        order = torch.randperm(n, generator=generator)
        crops = torch.randint(2**32, (n,), generator=generator)
        return order, crops, torch.randint(2, (n,), generator=generator).bool()


class _Images(Dataset):
    """What a worker process has: it makes the uint8 images [B, 3, S, S] of a list of places, or one line that says
    why it cannot. (An exception would come out of a worker as its whole traceback.)"""

    def __init__(self, files: ImageList, cut: v2.Transform, corruption: str | None) -> None:
        self.files, self.cut, self.corruption = files, cut, corruption

    def __getitems__(self, places: list[Place]) -> torch.Tensor | str:
        try:
            return torch.stack([self.image(*place) for place in places])
        except UserError as error:
            return str(error)

    def image(self, number: int, seed: int) -> torch.Tensor:
        with warnings.catch_warnings(action="ignore"):  # of damaged EXIF, which is not read
            image = pil_to_tensor(open_image(self.files.path(number)))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # the CPU's only: without workers this is the training process
            image = self.cut(image)
        return corrupt(image[None], self.corruption, number)[0] if self.corruption else image


class _Places:
    """The lists of places that workers are given: what a DataLoader calls its batch sampler."""

    def __init__(self, numbers: torch.Tensor, crops: torch.Tensor, parts: list[slice]) -> None:
        self.numbers, self.crops, self.parts = numbers, crops, parts

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[list[Place]]:
        for part in self.parts:
            yield list(zip(self.numbers[part].tolist(), self.crops[part].tolist(), strict=True))


def _as_it_is(images: Any) -> Any:
    return images


def random_crop(size: int, scale: tuple[float, float], interpolation: str, antialias: bool) -> v2.Transform:
    """A window of a random place, area (a share of the image's, uniform in `scale`) and side ratio (¾ to 4⁄3, uniform
    in its logarithm), resized to size × size. Source: torchvision's RandomResizedCrop, with its names."""
    return v2.RandomResizedCrop(
        size, scale=scale, interpolation=v2.InterpolationMode(interpolation), antialias=antialias
    )


def middle_crop(size: int, resize: int, interpolation: str, antialias: bool) -> v2.Transform:
    """The shorter side resized to `resize`, then the middle size × size."""
    resized = v2.Resize(resize, interpolation=v2.InterpolationMode(interpolation), antialias=antialias)
    return v2.Compose([resized, v2.CenterCrop(size)])
