"""The user's own images, on small ones drawn here."""

import numpy as np
import pytest
import torch
from PIL import Image

from configs.settings import UserError
from datamodules import DATASETS
from datamodules.folder import Config, Folder, load

COLORS = {"blue": (10, 20, 200), "red": (200, 20, 10), "white": (250, 251, 252)}


def paint(path, color, size=(40, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


@pytest.fixture
def images(tmp_path):
    """Three classes of one color each: 20 + 30 + 40 for training and 2 + 3 + 4 for testing."""
    root = tmp_path / "flags"
    for number, (name, color) in enumerate(COLORS.items(), start=2):
        for k in range(10 * number):
            paint(root / "train" / name / f"{k}.png", color)
        for k in range(number):
            paint(root / "test" / name / f"{k}.png", color)
    return root


def make(root, stage="fit", split_seed=0, **settings):
    data = Folder(Config(path=str(root), **settings), "unused", batch_size=8, seed=0, split_seed=split_seed)
    data.prepare_data()
    data.setup(stage)
    return data


def collect(batches):
    xs, ys = zip(*batches, strict=True)
    return ((torch.cat(xs) + 1) * 127.5).round(), torch.cat(ys)


def refusal(root, stage="fit", **settings):
    with pytest.raises(UserError) as caught:
        make(root, stage, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_classes_are_the_folders_in_order_and_pixels_come_through(images):
    (images / "train" / ".hidden").mkdir()
    (images / "train" / "red" / "notes.txt").write_text("not an image")
    (images / "train" / "red" / "._0.png").write_bytes(b"a resource fork")
    data = make(images, "test")
    assert data.label == f"folder {images}"
    assert data.classes == 3
    assert data.input_shape == (3, 32, 32)
    assert data.sizes == {"train": 81, "validation": 9, "test": 9}
    for loader, counts in (
        (data.train_dataloader(), [18, 27, 36]),
        (data.val_dataloader(), [2, 3, 4]),
        (data.test_dataloader(), [2, 3, 4]),
    ):
        assert torch.bincount(loader.labels).tolist() == counts
    for loader in (data.val_dataloader(), data.test_dataloader()):
        x, y = collect(loader)
        expected = torch.tensor(list(COLORS.values()))[y]
        assert torch.equal(x, expected[:, :, None, None].expand_as(x).float())


def test_the_fingerprint_and_the_split_follow_split_seed(images):
    assert make(images).fingerprint == make(images).fingerprint != make(images, split_seed=1).fingerprint


def test_a_val_folder_is_the_validation_set(images):
    for name, color in COLORS.items():
        for k in range(5):
            paint(images / "val" / name / f"{k}.png", color)
    data = make(images)
    assert data.sizes == {"train": 90, "validation": 15, "test": None}
    assert collect(data.val_dataloader())[1].tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert make(images, split_seed=5).fingerprint == data.fingerprint


def test_the_order_is_that_of_the_names(images):
    for name in COLORS:
        for k in (5, 0, 3, 1, 4, 2):
            paint(images / "val" / name / f"{k}.png", (k, k, k))
    x, _ = collect(make(images).val_dataloader())
    assert x[:, 0, 0, 0].tolist() == 3 * [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (20, 40), (16, 16)])
def test_resize_of_the_shorter_side_then_middle_square(size, tmp_path):
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    picture.save(tmp_path / "picture.png")
    scale = 16 / min(size)
    whole = np.asarray(picture.resize((int(size[0] * scale), int(size[1] * scale)), Image.Resampling.BILINEAR))
    top, left = round((whole.shape[0] - 16) / 2), round((whole.shape[1] - 16) / 2)
    expected = whole[top : top + 16, left : left + 16].transpose(2, 0, 1)
    np.testing.assert_array_equal(load(tmp_path / "picture.png", 16, 3).numpy(), expected)


def test_grey(images):
    data = make(images, channels=1, size=8)
    assert data.input_shape == (1, 8, 8)
    x, y = collect(data.val_dataloader())
    grey = torch.tensor([round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in COLORS.values()])
    assert torch.equal(x[:, 0, 0, 0], grey[y].float())


@pytest.mark.parametrize("part", ["train", "test"])
def test_missing_folders(images, part):
    (images / part).rename(images / "elsewhere")
    assert refusal(images).startswith(f"{images / part} is missing")


@pytest.mark.parametrize("part", ["test", "val"])
def test_classes_that_differ(images, part):
    paint(images / part / "green" / "0.png", (0, 255, 0))
    line = refusal(images)
    assert line.startswith(f"{images / part} and {images / 'train'} differ in their classes: ")
    assert "green" in line


@pytest.mark.parametrize(("part", "stage"), [("train", "fit"), ("test", "test")])
def test_an_empty_class(images, part, stage):
    for path in (images / part / "red").iterdir():
        path.unlink()
    assert refusal(images, stage).startswith(f"{images / part / 'red'} has no image files")


@pytest.mark.parametrize("content", [b"", b"no image", "cut"])
def test_an_image_that_cannot_be_decoded(images, content):
    path = images / "train" / "red" / "7.png"
    path.write_bytes(path.read_bytes()[:60] if content == "cut" else content)
    assert refusal(images).startswith(f"{path} cannot be read as an image: ")


def test_deep_pixels_are_refused_rather_than_clipped(images):
    path = images / "train" / "red" / "7.png"
    Image.fromarray(np.full((40, 40), 40_000, np.uint16)).save(path)
    assert refusal(images, channels=1).startswith(f"{path} has more than 8 bits a channel")


def test_too_little_to_train_on(images):
    assert refusal(images, channels=2).startswith("dataset.channels=2 is not valid")
    for name in ("blue", "white"):
        (images / "train" / name).rename(images / name)
    assert refusal(images).endswith("has one class, red: at least two are needed")
    (images / "train" / "red").rename(images / "red")
    assert refusal(images).startswith(f"{images / 'train'} has no folders in it")


def test_images_sorted_by_class_have_no_last_ones_to_validate_by(images):
    assert refusal(images, validation_from="last").startswith("dataset.validation_from=last is not for folder")
    assert refusal_of_imagenet().startswith("dataset.validation_from=last is not for imagenet")


def refusal_of_imagenet():
    config = DATASETS["imagenet"].Config(validation_from="last")
    with pytest.raises(UserError) as caught:
        DATASETS["imagenet"](config, "unused", batch_size=8, seed=0, split_seed=0)
    return str(caught.value)


def test_a_folder_of_validation_images_is_the_validation_set(images):
    (images / "test").rename(images / "val")
    paint(images / "test" / "red" / "0.png", (0, 0, 0))
    for name in ("blue", "white"):
        paint(images / "test" / name / "0.png", (0, 0, 0))
    assert make(images).sizes["validation"] == 9
    assert refusal(images, validation=5) == f"dataset.validation=5: {images / 'val'} is the validation set"


def test_classes_too_small_to_give_one_for_validation(tmp_path):
    for name in ("a", "b"):
        for part in ("train", "test"):
            paint(tmp_path / part / name / "0.png", (0, 0, 0))
    assert "0 validation examples are too few" in refusal(tmp_path)
