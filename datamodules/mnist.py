"""MNIST through torchvision."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torchvision.datasets import MNIST
from torchvision.datasets.mnist import read_image_file, read_label_file

from datamodules import files, split
from datamodules.base import DataConfig, DataModule, Examples

VALIDATION = 10_000
# SHA-256 of the unpacked files. torchvision's md5 sums are of the .gz files it downloads: what lies unpacked in a
# folder, by an unpacking that broke off or from another source, it would take unseen.
SUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass
class Config(DataConfig):
    name: str = "mnist"


class Mnist(DataModule):
    """MNIST: 28×28 grey handwritten digits, 50,000 / 10,000 / 10,000.

    Read from `data_dir/MNIST/raw`, downloaded where one of the four files is missing. Validation: 10,000 of the 60,000
    official training images, drawn by `split_seed`.
    """

    Config = Config
    label = "MNIST"
    classes = 10
    mirror = False

    @property
    def folder(self) -> Path:
        return self.data_dir / "MNIST" / "raw"

    def fetch(self) -> None:
        if not all((self.folder / name).exists() for name in SUMS):
            files.download("MNIST", self.folder, lambda: MNIST(str(self.data_dir), download=True))
        for name, expected in SUMS.items():
            with files.reading(self.folder / name):
                intact = files.sha256(self.folder / name) == expected
            if not intact:
                raise files.damaged(self.folder / name)

    def read_train(self) -> Examples:
        return self._read("train")

    def read_test(self) -> Examples:
        return self._read("t10k")

    def draw_validation(self, labels: np.ndarray) -> np.ndarray:
        return split.draw(len(labels), VALIDATION, self.split_seed)

    def _read(self, part: str) -> Examples:
        self.prepare_data()
        with files.reading(self.folder):
            images = read_image_file(str(self.folder / f"{part}-images-idx3-ubyte"))
            labels = read_label_file(str(self.folder / f"{part}-labels-idx1-ubyte"))
        return Examples(images[:, None], labels)
