"""The handwritten digits inside scikit-learn: nothing to download."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits

from datamodules import split
from datamodules.base import DataConfig, DataModule, Examples

TEST_SEED = 8  # fixes the test set for good: no setting reaches it
TEST_SHARE = VALIDATION_SHARE = 0.2


@dataclass
class Config(DataConfig):
    name: str = "digits"


class Digits(DataModule):
    """scikit-learn's 1,797 scanned digits, 8×8 grey: for a first look, no download.

    The set has no official test set. Ours is a fifth of each digit, drawn once with a constant seed, so that no setting
    changes it; a fifth of each digit of the rest is for validation, by `split_seed`. Grey levels 0..16 become
    0..255, rounded.
    """

    Config = Config
    label = "digits"
    classes = 10
    mirror = False

    def read_train(self) -> Examples:
        images, labels, test = _digits()
        train = split.rest(len(labels), test)
        return Examples(torch.from_numpy(images[train]), torch.from_numpy(labels[train]))

    def read_test(self) -> Examples:
        images, labels, test = _digits()
        return Examples(torch.from_numpy(images[test]), torch.from_numpy(labels[test]))

    def draw_validation(self, labels: np.ndarray) -> np.ndarray:
        return split.draw_per_class(labels, self.split_seed, share=VALIDATION_SHARE)


@cache
def _digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 [1797, 1, 8, 8], labels int64, indices of the test set."""
    levels, labels = load_digits(return_X_y=True)
    images = np.floor(levels * 255 / 16 + 0.5).astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = labels.astype(np.int64)
    return images, labels, split.draw_per_class(labels, TEST_SEED, share=TEST_SHARE)
