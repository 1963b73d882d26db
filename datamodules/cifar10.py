"""CIFAR-10 through torchvision."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity

from datamodules import files, split
from datamodules.base import DataConfig, DataModule, Examples

VALIDATION = 5_000


@dataclass
class Config(DataConfig):
    name: str = "cifar10"


class Cifar10(DataModule):
    """CIFAR-10: 32×32 color photographs of ten things, 45,000 / 5,000 / 10,000.

    Read from `data_dir/cifar-10-batches-py`, downloaded where a file of it is missing; torchvision's md5 sums are
    checked either way. Validation: 5,000 of the 50,000 official training images, drawn by `split_seed`.
    """

    Config: ClassVar[type[DataConfig]] = Config
    label = "CIFAR-10"
    classes = 10
    published: ClassVar[Any] = CIFAR10

    def fetch(self) -> None:
        published, folder = self.published, self.data_dir / self.published.base_folder
        sums = {folder / name: md5 for name, md5 in [*published.train_list, *published.test_list]}
        sums[folder / published.meta["filename"]] = published.meta["md5"]
        if not all(path.exists() for path in sums):
            files.download(self.label, folder, lambda: published(str(self.data_dir), download=True))
        for path, md5 in sums.items():
            with files.reading(path):
                intact = check_integrity(path, md5)
            if not intact:
                raise files.damaged(path)

    def read_train(self) -> Examples:
        return self._read(train=True)

    def read_test(self) -> Examples:
        return self._read(train=False)

    def draw_validation(self, labels: np.ndarray) -> np.ndarray:
        return split.draw(len(labels), VALIDATION, self.split_seed)

    def _read(self, train: bool) -> Examples:
        self.prepare_data()
        with files.reading(self.data_dir / self.published.base_folder):
            data = self.published(str(self.data_dir), train=train)
        images = torch.from_numpy(np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)))
        return Examples(images, torch.tensor(data.targets))
