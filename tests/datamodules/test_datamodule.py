"""What every data set shares, shown on the digits inside scikit-learn."""

import hashlib

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from configs.settings import UserError, check
from datamodules import DATASETS
from datamodules.base import DataModule
from datamodules.digits import Config, Digits


def make(seed=0, split_seed=0, limit=0, batch_size=100, **settings):
    data = Digits(
        Config(**settings), "unused", batch_size=batch_size, seed=seed, split_seed=split_seed, limit=limit, device="cpu"
    )
    data.prepare_data()
    data.setup("fit")
    return data


def pixels(batches):
    """All images of a loader as uint8 rows, undoing the symmetric scaling, and all labels."""
    xs, ys = zip(*batches, strict=True)
    return ((torch.cat(xs) + 1) * 127.5).round().to(torch.uint8).flatten(1).numpy(), torch.cat(ys).numpy()


def rows(batches):
    """The examples of a loader as a sorted list of (pixels, label)."""
    return sorted((x.tobytes(), int(y)) for x, y in zip(*pixels(batches), strict=True))


def test_every_data_set_has_a_config_of_its_name_and_a_line_of_help():
    for name, module in DATASETS.items():
        config = module.Config()
        check(config)
        assert config.name == name
        assert module.__doc__.splitlines()[0].endswith(".")
        assert issubclass(module, DataModule)


def test_after_setup_everything_that_a_run_asks_for_is_known():
    data = make()
    assert data.input_shape == (1, 8, 8)
    assert data.classes == 10
    assert data.label == "digits"
    assert data.sizes == {"train": 1151, "validation": 287, "test": None}
    data.setup("test")
    assert data.sizes == {"train": 1151, "validation": 287, "test": 359}
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    for loader, size in zip(loaders, data.sizes.values(), strict=True):
        assert len(loader.labels) == size
        assert set(loader.labels.tolist()) == set(range(10))


def test_grey_levels_0_to_16_become_0_to_255():
    data = make()
    data.setup("test")
    every = rows(data.train_dataloader()) + rows(data.val_dataloader()) + rows(data.test_dataloader())
    levels, labels = load_digits(return_X_y=True)
    expected = [
        (bytes(int(v * 255 / 16 + 0.5) for v in image), int(y)) for image, y in zip(levels, labels, strict=True)
    ]
    # 1151 = 11·100 + 51: no example is left out of training
    assert sorted(every) == sorted(expected)


def test_test_set_is_not_read_before_it_is_asked_for_and_never_changes():
    reads = []

    class Watched(Digits):
        def read_test(self):
            reads.append("test")
            return super().read_test()

    data = Watched(Config(), "unused", batch_size=10, seed=0, split_seed=0)
    data.setup("fit")
    data.setup("validate")
    list(data.train_dataloader())
    list(data.val_dataloader())
    assert reads == []
    data.setup("test")
    data.setup("test")
    assert reads == ["test"]

    other = make(seed=7, split_seed=9, limit=50)
    other.setup("test")
    for mine, theirs in zip(pixels(data.test_dataloader()), pixels(other.test_dataloader()), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_test_set_of_digits_is_this_one():
    data = make()
    data.setup("test")
    images, labels = pixels(data.test_dataloader())
    # another test set would make records incomparable with the old ones
    assert hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()[:12] == "52b9dff80de4"
    np.testing.assert_array_equal(np.bincount(labels), [36, 36, 35, 37, 36, 36, 36, 36, 35, 36])


def test_the_split_follows_split_seed_and_not_seed():
    base, same, moved = make(), make(seed=5), make(split_seed=1)
    assert rows(base.val_dataloader()) == rows(same.val_dataloader())
    assert rows(base.train_dataloader()) == rows(same.train_dataloader())
    assert rows(base.val_dataloader()) != rows(moved.val_dataloader())
    assert not np.array_equal(pixels(base.train_dataloader())[1], pixels(same.train_dataloader())[1])  # the order


def test_validation_has_a_fifth_of_each_digit():
    data = make()
    train, validation = (np.bincount(loader.labels) for loader in (data.train_dataloader(), data.val_dataloader()))
    np.testing.assert_array_equal(validation, np.round(0.2 * (train + validation)))


def test_fingerprint_tells_data_and_split_apart_and_nothing_else():
    fingerprint = make().fingerprint
    assert len(fingerprint) == 12
    assert fingerprint == make(seed=4, scaling="binary", augment="crop", batch_size=7).fingerprint
    assert len({fingerprint, make(split_seed=1).fingerprint, make(limit=500).fingerprint}) == 3

    class Altered(Digits):
        def read_train(self):
            examples = super().read_train()
            examples.images[3, 0, 0, 0] ^= 1
            return examples

    altered = Altered(Config(), "unused", batch_size=10, seed=0, split_seed=0)
    altered.setup("fit")
    assert altered.fingerprint != fingerprint


def test_limit_caps_training_alone_and_in_a_nested_way():
    whole, few, fewer = make(), make(limit=200, seed=3), make(limit=60)
    assert few.sizes == {"train": 200, "validation": 287, "test": None}
    assert rows(few.val_dataloader()) == rows(whole.val_dataloader())
    assert set(rows(fewer.train_dataloader())) < set(rows(few.train_dataloader())) < set(rows(whole.train_dataloader()))
    assert make(limit=1150).sizes["train"] == 1150
    assert len(set(fewer.train_dataloader().labels.tolist())) == 10
    with pytest.raises(UserError, match="1 training and 287 validation examples are too few"):
        make(limit=1)
    with pytest.raises(UserError, match="limit_train=1151: digits has 1,151 training examples; 0 takes them all"):
        make(limit=1151)


def test_center_crop_and_scaling_reach_all_three_splits():
    data = make(center_crop=6, scaling="binary")
    data.setup("test")
    assert data.input_shape == (1, 6, 6)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        x, _ = next(iter(loader))
        assert x.shape[1:] == (1, 6, 6)
        assert set(x.unique().tolist()) == {-1, 1}


def test_standardization_is_fitted_to_the_training_split():
    data = make(scaling="standardize", batch_size=1151)
    ((x, _),) = data.train_dataloader()
    assert abs(float(x.mean())) < 1e-6
    assert abs(float(x.std(correction=0)) - 1) < 1e-6
    assert abs(float(next(iter(data.val_dataloader()))[0].mean())) > 1e-5


def test_only_training_images_are_augmented():
    plain, cropped = make(), make(augment="crop")
    assert rows(plain.val_dataloader()) == rows(cropped.val_dataloader())
    assert rows(plain.train_dataloader()) != rows(cropped.train_dataloader())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augment": "crop_flip"}, "mirrored"),
        ({"scaling": "zca"}, "zca is for color images"),
        ({"center_crop": 9}, "center_crop=9 is larger"),
    ],
)
def test_nonsense_is_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as caught:
        make(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"augment": "flip"}, {"scaling": "none"}, {"center_crop": 0}])
def test_values_out_of_range_are_refused(settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        check(Config(**settings), "dataset.")


def indices(batches, official):
    """Where the images of a loader that is in order are among all official training images."""
    known = {image.tobytes(): i for i, image in enumerate(official)}
    return [known[image.tobytes()] for image in pixels(batches)[0]]


def test_validation_of_the_last_examples():
    official = make().read_train().images.flatten(1).numpy()
    usual, asked = make(validation_from="last"), make(validation_from="last", validation=7)
    assert indices(usual.val_dataloader(), official) == list(range(1438 - 287, 1438))
    assert indices(asked.val_dataloader(), official) == list(range(1431, 1438))
    assert asked.sizes == {"train": 1431, "validation": 7, "test": None}
    assert rows(make(validation_from="last", split_seed=3).val_dataloader()) == rows(usual.val_dataloader())


def test_validation_of_another_size_follows_split_seed():
    seven, again, other = (make(validation=7, split_seed=s) for s in (0, 0, 1))
    assert seven.sizes["validation"] == 7
    assert rows(seven.val_dataloader()) == rows(again.val_dataloader()) != rows(other.val_dataloader())


def test_without_validation_all_are_trained_on():
    data = make(validation=0)
    assert data.sizes == {"train": 1438, "validation": 0, "test": None}
    assert len(rows(data.train_dataloader())) == 1438
    assert list(data.val_dataloader()) == []
    with pytest.raises(UserError, match="validation=1438 leaves none of the 1438 training examples"):
        make(validation=1438)
