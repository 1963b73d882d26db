"""Street View House Numbers, cropped digits: the published set through torchvision, or a subset from its own folder."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
from torchvision.datasets import SVHN

from configs.settings import UserError, setting
from datamodules import files, split
from datamodules.base import DataConfig, DataModule, Examples

SUBSET = "svhn_subset"
FROM_TRAIN, FROM_EXTRA = 400, 200  # validation examples of each digit
SUBSET_SHARE = 0.1
SUBSET_CURE = "put a file of SVHN's format there"


@dataclass
class Config(DataConfig):
    name: str = "svhn"
    extra: bool = setting(False, "train on the 531,131 easier extra digits too, as the published results do")
    subset: bool = setting(False, f"read data_dir/{SUBSET}, a part of the set: for trying out, never compared")


class Svhn(DataModule):
    """SVHN: 32×32 color digits of house numbers, 69,257 / 4,000 / 26,032; with extra 598,388 / 6,000 / 26,032.

    Read from `data_dir` or `data_dir/svhn` and checked by torchvision's md5 sums; what is missing is downloaded into
    `data_dir/svhn`. Validation by `split_seed`: 400 of each digit from the training set and, with `extra`, 200 of each
    from the extra set. Those numbers are from Sermanet et al. 2012 and Goodfellow et al. 2013 (maxout) [recalled];
    their sizes, 598,388 and 6,000, are those of pylearn2's datasets/svhn.py, which BinaryConnect's code loads. Which
    examples they drew is not known.

    `subset`: `data_dir/svhn_subset/{train,test}_32x32.mat`, the same format with fewer examples, read as they are;
    10 % of each digit is for validation. Its label has the numbers of examples, so that it is never taken for SVHN.

    Digit 0, label 10 in the files, is class 0.
    """

    Config = Config
    classes = 10
    mirror = False

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        if config.subset and config.extra:
            raise UserError("dataset.subset=true has no extra set: leave dataset.extra=false")
        super().__init__(config, *args, **kwargs)
        self.label = "SVHN subset" if config.subset else "SVHN+extra" if config.extra else "SVHN"
        self._from_extra = 0

    @property
    def folder(self) -> Path:
        if self.config.subset:
            return self.data_dir / SUBSET
        return self.data_dir if self._path(self.data_dir, "train").exists() else self.data_dir / "svhn"

    def fetch(self) -> None:
        if self.config.subset:
            train, test = (_count(self._path(self.folder, part)) for part in ("train", "test"))
            self.label = f"SVHN subset {train}/{test}"
            return
        hint = files.WHERE
        if (self.data_dir / SUBSET).is_dir():
            hint = f"dataset.subset=true reads the part of it that is in {self.data_dir / SUBSET}"
        for part in ("train", "test", "extra") if self.config.extra else ("train", "test"):
            if not self._path(self.folder, part).exists():
                files.download("SVHN", self.folder, partial(SVHN, str(self.folder), part, download=True), hint)

    def read_train(self) -> Examples:
        train = self._read("train")
        if not self.config.extra:
            return train
        extra = self._read("extra")
        self._from_extra = len(extra.labels)
        return Examples(torch.cat((train.images, extra.images)), torch.cat((train.labels, extra.labels)))

    def read_test(self) -> Examples:
        return self._read("test")

    def draw_validation(self, labels: np.ndarray) -> np.ndarray:
        if self.config.subset:
            return split.draw_per_class(labels, self.split_seed, share=SUBSET_SHARE)
        return validation(labels, len(labels) - self._from_extra, self.split_seed)

    def _path(self, folder: Path, part: str) -> Path:
        return folder / f"{part}_32x32.mat"

    def _read(self, part: str) -> Examples:
        self.prepare_data()
        path = self._path(self.folder, part)
        if self.config.subset:
            return _read_mat(path)
        with files.reading(path):
            data = SVHN(str(self.folder), part)
        return Examples(torch.from_numpy(np.ascontiguousarray(data.data)), torch.from_numpy(data.labels))


def validation(labels: np.ndarray, from_train: int, seed: int) -> np.ndarray:
    """Indices of 400 of each digit among the first `from_train` labels and of 200 of each among the rest, sorted."""
    taken = [split.draw_per_class(labels[:from_train], seed, count=FROM_TRAIN)]
    if from_train < len(labels):
        taken.append(from_train + split.draw_per_class(labels[from_train:], seed, count=FROM_EXTRA))
    return np.concatenate(taken)


def _count(path: Path) -> int:
    """Number of examples in a file of SVHN's format, read from its header only."""
    with files.reading(path, SUBSET_CURE):
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
        return shapes["X"][3]


def _read_mat(path: Path) -> Examples:
    """A file of SVHN's format: X uint8 [32, 32, 3, N], y [N, 1] with 1..10."""
    with files.reading(path, SUBSET_CURE):
        content = scipy.io.loadmat(path)
        images, labels = content["X"], content["y"].reshape(-1).astype(np.int64)
        if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)) or not set(labels) <= set(range(1, 11)):
            raise ValueError("not SVHN's format")
    images = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    return Examples(torch.from_numpy(images), torch.from_numpy(labels % 10))
