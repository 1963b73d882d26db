"""The published SVHN on a made-up folder in its layout: how the extra set joins, what is set aside, and digit 0."""

import hashlib

import numpy as np
import pytest
import scipy.io
from torchvision.datasets import SVHN

from datamodules import DATASETS, svhn

COUNTS = {"train": 70, "extra": 50, "test": 20}
FROM_TRAIN, FROM_EXTRA = 3, 2  # of each digit, in place of 400 and 200


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files with few images, whose md5 sums take the place of the published ones. The first pixel of an image is its
    number, and its second says which file it is of."""
    monkeypatch.setattr(svhn, "FROM_TRAIN", FROM_TRAIN)
    monkeypatch.setattr(svhn, "FROM_EXTRA", FROM_EXTRA)
    listed = {}
    for place, (part, count) in enumerate(COUNTS.items()):
        images = np.zeros((32, 32, 3, count), dtype=np.uint8)
        images[0, 0, 0], images[0, 1, 0] = np.arange(count), place
        path = tmp_path / f"{part}_32x32.mat"
        labels = np.arange(count)[:, None] % 10 + 1  # 10 stands for digit 0
        scipy.io.savemat(path, {"X": images, "y": labels.astype(np.uint8)})
        listed[part] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", listed)
    return tmp_path


def examples(folder, **settings):
    """Label of the data, and for each part {(number, file): digit}."""
    module = DATASETS["svhn"]
    data = module(module.Config(**settings), folder, batch_size=100, seed=0, split_seed=0)
    data.prepare_data()
    data.setup("test")
    found = {}
    loaders = {"train": data.train_dataloader(), "validation": data.val_dataloader(), "test": data.test_dataloader()}
    for name, loader in loaders.items():
        rows = [
            (*((image[0, 0, :2] + 1) * 127.5).round().int().tolist(), int(digit))
            for x, y in loader
            for image, digit in zip(x, y, strict=True)
        ]
        found[name] = {(number, file): digit for number, file, digit in rows}
        assert len(found[name]) == len(rows) == data.sizes[name]
    return data.label, found


def test_digits_are_those_of_the_file_and_ten_is_zero(folder):
    label, found = examples(folder)
    assert label == "SVHN"
    assert found["test"] == {(n, 2): (n + 1) % 10 for n in range(COUNTS["test"])}
    both = found["train"] | found["validation"]
    assert both == {(n, 0): (n + 1) % 10 for n in range(COUNTS["train"])}
    assert np.bincount(list(found["validation"].values())).tolist() == [FROM_TRAIN] * 10


def test_with_extra_some_of_either_set_are_set_aside(folder):
    label, found = examples(folder, extra=True)
    assert label == "SVHN+extra"
    both = found["train"] | found["validation"]
    assert both == {(n, f): (n + 1) % 10 for f, part in enumerate(("train", "extra")) for n in range(COUNTS[part])}
    for file, count in enumerate((FROM_TRAIN, FROM_EXTRA)):
        digits = [digit for (_, f), digit in found["validation"].items() if f == file]
        assert np.bincount(digits).tolist() == [count] * 10
