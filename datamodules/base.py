"""What all data sets share: settings, the three splits, tensors on the device, loaders, and a fingerprint."""

import copy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch

from configs.settings import UserError, setting
from datamodules import split
from datamodules.batches import AUGMENTATIONS, CROP_PADDING, EVALUATION_BATCH, Batches
from datamodules.corruptions import CORRUPTIONS, corrupt
from datamodules.loader import Loader, Share
from datamodules.scaling import SCALINGS, Scaling, center_crop, check_scaling, fit

VALIDATION_FROM = ("random", "last")


@dataclass
class DataConfig:
    """Settings of every data set."""

    name: str = ""
    scaling: str = setting(
        "symmetric", "pixels to inputs: see datamodules/scaling.py for what each does", choices=SCALINGS
    )
    mean: list[float] = setting([], "scaling=constants: mean of each channel of x/255")
    sd: list[float] = setting([], "scaling=constants: deviation of each channel of x/255", above=0)
    zca_contrast: bool = setting(True, "scaling=zca: normalize the contrast of each image to norm 55 before")
    zca_bias: float = setting(0.1, "scaling=zca: added to the eigenvalues of the covariance", above=0)
    center_crop: int | None = setting(None, "side of the middle square that is kept, null: the whole image", low=1)
    augment: str = setting(
        "none",
        f"of training images: random crop out of {CROP_PADDING} black pixels around, mirroring",
        choices=AUGMENTATIONS,
    )
    validation: int | None = setting(
        None, "training examples set aside; null: as many as the data set usually has; 0: all are trained on", low=0
    )
    validation_from: str = setting(
        "random", "drawn by split_seed, or the last of the official training set", choices=VALIDATION_FROM
    )


class Examples(NamedTuple):
    """images uint8 [N, C, H, W] with values 0..255, labels int64 [N]."""

    images: torch.Tensor
    labels: torch.Tensor


class DataModule(pl.LightningDataModule):
    """Official training set → training and validation by `split_seed`; the official test set waits for `setup("test")`.

    A data set gives `Config`, `label`, `mirror`, `read_train`, `read_test`, `draw_validation` and, where it can be had,
    a download in `fetch`. After `setup("fit")`: `input_shape` (C, H, W), `classes`, `sizes`, `fingerprint`, `scaling`.
    One that does not fit in memory gives its own `setup_train`, `setup_test`, `corrupted_tests` for the two `read_`s.

    seed: of the training order and augmentation. limit: number of training examples kept, 0 = all; the validation
    set stays whole. device: where all tensors lie.
    """

    Config: ClassVar[type[DataConfig]]
    label: str  # what the record and the tables call the data
    classes: int
    class_names: Sequence[str] = ()  # in their order, where folders name them
    mirror: ClassVar[bool] = True  # whether a mirrored image is still of its class

    def __init__(
        self,
        config: Any,
        data_dir: str | Path,
        *,
        batch_size: int,
        seed: int,
        split_seed: int,
        limit: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        self.config, self.data_dir, self.device = config, Path(data_dir).expanduser(), torch.device(device)
        self.batch_size, self.seed, self.split_seed, self.limit = batch_size, seed, split_seed, limit
        self.sizes: dict[str, int | None] = {"train": None, "validation": None, "test": None}
        self.input_shape: tuple[int, int, int]
        self.fingerprint: str
        self._fetched = False
        self.scaling: Scaling
        self._loaders: dict[str, Loader] = {}
        if config.augment == "crop_flip" and not self.mirror:
            raise UserError(f"dataset.augment=crop_flip: a mirrored image of {config.name} is no digit; use crop")

    def fetch(self) -> None:
        """Makes sure that the files are there: downloads them or raises UserError."""

    def read_train(self) -> Examples:
        """The official training set, in its order."""
        raise NotImplementedError

    def read_test(self) -> Examples:
        """The official test set, in its order."""
        raise NotImplementedError

    def draw_validation(self, labels: np.ndarray) -> np.ndarray:
        """The data set's usual validation set: sorted indices into the official training set, a function of
        `split_seed` and the labels."""
        raise NotImplementedError

    def validation_set(self, labels: np.ndarray) -> np.ndarray:
        """Sorted indices into the official training set of what is set aside: the usual ones, but as many as
        `config.validation` says, and the last where `config.validation_from` says so."""
        asked, total = self.config.validation, len(labels)
        if asked is not None and asked >= total:
            raise UserError(f"dataset.validation={asked} leaves none of the {total} training examples of {self.label}")
        if self.config.validation_from == "last":
            count = len(self.draw_validation(labels)) if asked is None else asked
            return np.arange(total - count, total)
        return self.draw_validation(labels) if asked is None else split.draw(total, asked, self.split_seed)

    def prepare_data(self) -> None:
        if not self._fetched:
            self.fetch()
            self._fetched = True

    def setup(self, stage: str | None = None) -> None:
        """Reads what the stage needs, once: the test set for "test", else training and validation."""
        if "train" not in self._loaders:
            self.setup_train()
        if stage == "test" and "test" not in self._loaders:
            self.setup_test()

    def share(self, share: Share) -> None:
        """The loaders of what was read so far give the part of it that a process with this share has."""
        self._loaders = {name: loader.shared(share) for name, loader in self._loaders.items()}

    def train_dataloader(self) -> Loader:
        return self._loaders["train"]

    def val_dataloader(self) -> Loader | list[Any]:
        return self._loaders.get("validation", [])

    def test_dataloader(self) -> Loader:
        return self._loaders["test"]

    def corrupted_tests(self) -> Iterator[tuple[str, Loader]]:
        """Corruption and the test set with images corrupted so, for each of `corruptions.py`, one at a time."""
        test = self.read_test()
        images = self._place(test.images)
        for corruption in CORRUPTIONS:
            yield corruption, self._evaluation(corrupt(images, corruption), test.labels)

    def for_run(self, seed: int, batch_size: int) -> "DataModule":
        """The same data for another run: its training and validation sets are these, not copies of them."""
        other = copy.copy(self)
        other.trainer, other.seed, other.batch_size = None, seed, batch_size
        other.sizes = self.sizes | {"test": None}
        other._loaders = {name: loader for name, loader in self._loaders.items() if name != "test"}
        other._loaders["train"] = self._loaders["train"].for_run(seed, batch_size)
        return other

    def bytes(self) -> int:
        """Of all images and labels that were read."""
        return sum(loader.bytes() for loader in self._loaders.values())

    def divide(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sorted indices into the official training set, which has these labels: of training, at most `limit`, and of
        validation. Their `sizes` are known then. UserError where they are too few."""
        validation = self.validation_set(labels)
        train = split.rest(len(labels), validation)
        if self.limit >= len(train) > 0:
            raise UserError(
                f"limit_train={self.limit}: {self.label} has {len(train):,} training examples; 0 takes them all"
            )
        if self.limit:
            train = train[split.draw(len(train), self.limit, self.split_seed)]
        if len(train) < 2 or (len(validation) < 1 and self.config.validation != 0):
            raise UserError(
                f"{self.label}: {len(train)} training and {len(validation)} validation examples are too few"
            )
        self.sizes |= {"train": len(train), "validation": len(validation)}
        return train, validation

    def setup_train(self) -> None:
        """Training and validation: their loaders, and what is known after `setup("fit")`."""
        official = self.read_train()
        train, validation = self.divide(official.labels.numpy())
        self.fingerprint = hash_of(official.images.numpy(), official.labels.numpy(), train, validation)

        images = self._place(official.images[torch.from_numpy(train)])
        channels, height, width = images.shape[1:]
        self.input_shape = (channels, height, width)
        check_scaling(self.config, self.input_shape)
        self.scaling = fit(self.config, images)
        self._loaders["train"] = Batches(
            self.scaling.store(images),
            official.labels[torch.from_numpy(train)].to(self.device),
            self.batch_size,
            self.scaling,
            seed=self.seed,
            augment=self.config.augment,
        )
        if len(validation):
            index = torch.from_numpy(validation)
            self._loaders["validation"] = self._evaluation(self._place(official.images[index]), official.labels[index])

    def setup_test(self) -> None:
        """The test set: its loader and size."""
        test = self.read_test()
        self._loaders["test"] = self._evaluation(self._place(test.images), test.labels)
        self.sizes["test"] = len(test.labels)

    def _place(self, images: torch.Tensor) -> torch.Tensor:
        return center_crop(images, self.config.center_crop).contiguous().to(self.device)

    def _evaluation(self, images: torch.Tensor, labels: torch.Tensor) -> Batches:
        return Batches(self.scaling.store(images), labels.to(self.device), EVALUATION_BATCH, self.scaling)


def hash_of(*arrays: np.ndarray) -> str:
    """First 12 hexadecimal digits of the SHA-256 over shapes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:12]
