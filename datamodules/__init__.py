"""The data sets, one file each; base.py has what they share."""

from datamodules.base import DataModule
from datamodules.cifar10 import Cifar10
from datamodules.digits import Digits
from datamodules.folder import Folder
from datamodules.mnist import Mnist
from datamodules.svhn import Svhn

DATASETS: dict[str, type[DataModule]] = {
    "digits": Digits,
    "mnist": Mnist,
    "cifar10": Cifar10,
    "svhn": Svhn,
    "folder": Folder,
}
