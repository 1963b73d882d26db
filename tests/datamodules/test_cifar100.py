"""CIFAR-100 on a made-up folder in its layout: its fine labels, its three splits, and what it refuses."""

import hashlib
import pickle

import numpy as np
import pytest
from torchvision.datasets import CIFAR100

from configs.settings import UserError
from datamodules import DATASETS

TRAIN, TEST = 5_020, 30  # more than the 5,000 that are set aside


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """`cifar-100-python` with few images, whose md5 sums take the place of the published ones."""
    root = tmp_path / "cifar-100-python"
    root.mkdir()
    random = np.random.default_rng(0)
    sums = {}
    for name, count in (("train", TRAIN), ("test", TEST), ("meta", 0)):
        content = {"fine_label_names": [f"thing {i}" for i in range(100)]}
        if count:
            fine = random.permutation(np.arange(count) % 100)
            images = random.integers(0, 256, size=(count, 3072), dtype=np.uint8)
            content = {"data": images, "fine_labels": fine.tolist(), "coarse_labels": (fine // 5).tolist()}
        data = pickle.dumps(content)
        (root / name).write_bytes(data)
        sums[name] = hashlib.md5(data).hexdigest()
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": sums["meta"]})
    return tmp_path


def ready(folder, **settings):
    module = DATASETS["cifar100"]
    data = module(module.Config(**settings), folder, batch_size=500, seed=0, split_seed=0)
    data.prepare_data()
    data.setup("test")
    return data


def test_the_fine_labels_and_all_images(folder):
    data = ready(folder)
    assert (data.label, data.classes, data.input_shape) == ("CIFAR-100", 100, (3, 32, 32))
    assert data.sizes == {"train": TRAIN - 5_000, "validation": 5_000, "test": TEST}
    published = pickle.loads((folder / "cifar-100-python" / "test").read_bytes())
    ((x, y),) = list(data.test_dataloader())
    np.testing.assert_array_equal(y.numpy(), published["fine_labels"])
    np.testing.assert_array_equal(
        ((x + 1) * 127.5).round().numpy().astype(np.uint8).reshape(TEST, -1), published["data"]
    )
    labels = [
        int(label) for loader in (data.train_dataloader(), data.val_dataloader()) for _, y in loader for label in y
    ]
    expected = pickle.loads((folder / "cifar-100-python" / "train").read_bytes())["fine_labels"]
    assert sorted(labels) == sorted(expected)


def test_a_file_that_is_not_the_published_one_is_refused(folder):
    path = folder / "cifar-100-python" / "test"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"^{path} is damaged or not the published file"):
        ready(folder)
