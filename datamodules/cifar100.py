"""CIFAR-100 through torchvision."""

from dataclasses import dataclass
from typing import ClassVar

from torchvision.datasets import CIFAR100

from datamodules.base import DataConfig
from datamodules.cifar10 import Cifar10


@dataclass
class Config(DataConfig):
    name: str = "cifar100"


class Cifar100(Cifar10):
    """CIFAR-100: 32×32 color photographs of a hundred things, 45,000 / 5,000 / 10,000.

    Read from `data_dir/cifar-100-python`, else as CIFAR-10: downloaded where a file is missing, md5 sums checked, 5,000
    of the 50,000 official training images for validation by `split_seed`. Classes are the 100 fine ones.
    """

    Config: ClassVar[type[DataConfig]] = Config
    label = "CIFAR-100"
    classes = 100
    published = CIFAR100
