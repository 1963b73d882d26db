"""The published data sets as a run sees them, against readers of the file formats written here."""

import pickle
from collections import Counter

import numpy as np
import pytest
import scipy.io
import torch

from datamodules import DATASETS


def make(name, folder, seed=0, split_seed=0, **settings):
    module = DATASETS[name]
    return module(module.Config(**settings), folder, batch_size=1000, seed=seed, split_seed=split_seed)


def ready(name, folder, **settings):
    data = make(name, folder, **settings)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    return data


def pixels(batches):
    """All images of a loader as uint8 [N, C, H, W], undoing the symmetric scaling, and all labels."""
    xs, ys = zip(*((x.add_(1).mul_(127.5).round_().to(torch.uint8), y) for x, y in batches), strict=True)
    return torch.cat(xs).numpy(), torch.cat(ys).numpy()


def count(images, labels):
    return Counter((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def assert_split(data, official, test):
    """Training and validation are the official training set, each example once; the test set is in its own order."""
    train, validation = pixels(data.train_dataloader()), pixels(data.val_dataloader())
    assert len(train[1]) == data.sizes["train"]
    assert len(validation[1]) == data.sizes["validation"]
    assert count(*train) + count(*validation) == count(*official)
    for mine, published in zip(pixels(data.test_dataloader()), test, strict=True):
        np.testing.assert_array_equal(mine, published)


def idx(folder, part):
    images = np.fromfile(folder / "MNIST" / "raw" / f"{part}-images-idx3-ubyte", np.uint8, offset=16)
    labels = np.fromfile(folder / "MNIST" / "raw" / f"{part}-labels-idx1-ubyte", np.uint8, offset=8)
    return images.reshape(-1, 1, 28, 28), labels


def pickled(folder, *names):
    entries = [pickle.loads((folder / "cifar-10-batches-py" / name).read_bytes(), encoding="bytes") for name in names]
    images = np.concatenate([entry[b"data"].reshape(-1, 3, 32, 32) for entry in entries])
    return images, np.concatenate([entry[b"labels"] for entry in entries])


def mat(folder, part):
    content = scipy.io.loadmat(folder / "svhn_subset" / f"{part}_32x32.mat")
    labels = content["y"].ravel().astype(int)
    return np.stack([content["X"][..., k].transpose(2, 0, 1) for k in range(len(labels))]), np.where(
        labels == 10, 0, labels
    )


def test_mnist(mnist_dir):
    data = ready("mnist", mnist_dir)
    assert data.sizes == {"train": 50_000, "validation": 10_000, "test": 10_000}
    assert (data.label, data.input_shape, data.classes) == ("MNIST", (1, 28, 28), 10)
    official = idx(mnist_dir, "train")
    assert official[0].mean() == pytest.approx(33.318, abs=5e-4)
    assert_split(data, official, idx(mnist_dir, "t10k"))


def test_cifar10(cifar10_dir):
    data = ready("cifar10", cifar10_dir)
    assert data.sizes == {"train": 45_000, "validation": 5_000, "test": 10_000}
    assert (data.label, data.input_shape, data.classes) == ("CIFAR-10", (3, 32, 32), 10)
    official = pickled(cifar10_dir, *(f"data_batch_{k}" for k in range(1, 6)))
    assert_split(data, official, pickled(cifar10_dir, "test_batch"))


def test_svhn_subset(svhn_subset_dir):
    data = ready("svhn", svhn_subset_dir, subset=True)
    official, test = mat(svhn_subset_dir, "train"), mat(svhn_subset_dir, "test")
    assert data.label == f"SVHN subset {len(official[1])}/{len(test[1])}" == "SVHN subset 4434/1952"
    assert (data.input_shape, data.classes) == ((3, 32, 32), 10)
    assert_split(data, official, test)
    tenth = np.round(0.1 * np.bincount(official[1]))
    np.testing.assert_array_equal(np.bincount(pixels(data.val_dataloader())[1]), tenth)


def test_the_validation_set_follows_split_seed_and_not_seed(mnist_dir):
    fingerprints = []
    for seed, split_seed in ((0, 0), (1, 0), (0, 1)):
        data = make("mnist", mnist_dir, seed=seed, split_seed=split_seed)
        data.setup("fit")
        fingerprints.append(data.fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_nothing_is_written_into_the_data_folder(mnist_dir, cifar10_dir, svhn_subset_dir):
    def listing():
        return {path: path.stat().st_mtime_ns for path in sorted(mnist_dir.rglob("*"))}

    before = listing()
    for name, settings in (("mnist", {}), ("cifar10", {}), ("svhn", {"subset": True})):
        make(name, mnist_dir, **settings).prepare_data()
    assert listing() == before
