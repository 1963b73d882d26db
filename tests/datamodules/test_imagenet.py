"""ImageNet's layout on small folders made here: labels, splits, crops, order, and what is refused."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import pil_to_tensor

from configs.settings import UserError, check
from datamodules import imagenet
from datamodules.imagenet import Config, ImageNet
from datamodules.loader import Share

ROOT = Path(__file__).resolve().parents[2]
WNIDS = ["n01440764", "n01443537", "n02099601", "n15075141"]
TRAIN, VAL = 20, 5  # images of each class


def draw(path, random):
    """A smooth image of a random size, which JPEG hardly changes, with its number in none of its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = (int(side) for side in random.integers(30, 60, 2))
    small = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    small.resize((width, height), Image.Resampling.BILINEAR).save(path, quality=95)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    root, random = tmp_path_factory.mktemp("imagenet"), np.random.default_rng(0)
    for wnid in WNIDS:
        for k in range(TRAIN):
            draw(root / "train" / wnid / f"{wnid}_{k}.JPEG", random)
        for k in range(VAL):
            draw(root / "val" / wnid / f"ILSVRC2012_val_{k:08}.JPEG", random)
    return root


@pytest.fixture
def images(originals, tmp_path):
    """A copy that a test may damage."""
    for path in originals.rglob("*.JPEG"):
        target = tmp_path / path.relative_to(originals)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


def make(root, stage="fit", seed=0, split_seed=0, limit=0, batch_size=16, **settings):
    settings = {"classes": 4, "size": 24, "workers": 0, "scaling": "symmetric", "scale": [0.08, 1.0]} | settings
    config = Config(**settings)
    check(config)
    data = ImageNet(config, root, batch_size=batch_size, seed=seed, split_seed=split_seed, limit=limit)
    data.prepare_data()
    data.setup(stage)
    return data


def collect(batches):
    xs, ys = zip(*batches.unscaled(), strict=True)
    return torch.cat(xs), torch.cat(ys)


def refusal(root, **settings):
    with pytest.raises(UserError) as caught:
        make(root, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_labels_are_the_sorted_wnids_and_val_is_the_test_set(originals):
    data = make(originals, "test")
    assert (data.classes, data.input_shape) == (4, (3, 24, 24))
    assert data.label == "folders of 4 classes 80/20"
    assert data.sizes == {"train": 72, "validation": 8, "test": 20}
    for loader, each in ((data.train_dataloader(), 18), (data.val_dataloader(), 2), (data.test_dataloader(), 5)):
        assert torch.bincount(collect(loader)[1]).tolist() == [each] * 4
    assert collect(data.test_dataloader())[1].tolist() == sorted(collect(data.test_dataloader())[1].tolist())


def test_evaluation_resizes_the_shorter_side_and_cuts_the_middle_out(originals):
    data = make(originals, "test", resize=28)
    x, _ = collect(data.test_dataloader())
    paths = sorted((originals / "val").rglob("*.JPEG"))
    for image, path in zip(x, paths, strict=True):
        picture = Image.open(path)
        scale = 28 / min(picture.size)
        resized = picture.resize(tuple(int(side * scale) for side in picture.size), Image.Resampling.BILINEAR)
        top, left = round((resized.height - 24) / 2), round((resized.width - 24) / 2)
        expected = np.asarray(resized)[top : top + 24, left : left + 24].transpose(2, 0, 1)
        assert np.abs(image.numpy().astype(int) - expected).max() <= 1  # the two libraries round differently


def test_the_resized_side_is_256_for_224():
    assert ImageNet(Config(), "unused", batch_size=2, seed=0, split_seed=0).resize == 256
    assert ImageNet(Config(size=112), "unused", batch_size=2, seed=0, split_seed=0).resize == 128


def test_scaling_is_by_the_constants_of_the_channels(originals):
    data = make(originals, scaling="constants")
    loader = data.val_dataloader()
    (u, _), (x, _) = next(loader.unscaled()), next(iter(loader))
    mean, sd = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (u.numpy().transpose(0, 2, 3, 1) / 255 - mean) / sd
    np.testing.assert_allclose(x.numpy().transpose(0, 2, 3, 1), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_is_a_function_of_seed_and_epoch_however_many_workers_there_are(originals, workers):
    reference, loader = (make(originals, workers=w).train_dataloader() for w in (0, workers))
    for epoch in (0, 2):
        reference.set_epoch(epoch)
        loader.set_epoch(epoch)
        expected = collect(reference)
        torch.manual_seed(epoch + 17)
        state = torch.get_rng_state()
        for ours, theirs in zip(collect(loader), expected, strict=True):
            assert torch.equal(ours, theirs)
        assert torch.equal(state, torch.get_rng_state())  # other draws are not moved


def test_epochs_and_seeds_differ_and_the_epoch_counts_when_the_first_batch_is_asked_for(originals):
    loader = make(originals).train_dataloader()
    early = loader.unscaled()
    loader.set_epoch(3)
    third = torch.cat([x for x, _ in early])
    assert torch.equal(third, collect(loader)[0])
    loader.set_epoch(4)
    assert not torch.equal(third, collect(loader)[0])
    other = make(originals, seed=1).train_dataloader()
    other.set_epoch(3)
    assert not torch.equal(third, collect(other)[0])


def test_every_training_image_has_a_crop_of_its_own(tmp_path):
    """One picture, many times: on a batch, torchvision's transform would draw one crop for all."""
    ramp = np.stack(np.meshgrid(np.linspace(0, 255, 64), np.linspace(0, 255, 64), indexing="ij"), -1).astype(np.uint8)
    picture = Image.fromarray(np.concatenate((ramp, 0 * ramp[..., :1]), -1))
    for part, count in (("train", 300), ("val", 1)):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            for k in range(count):
                picture.save(tmp_path / part / name / f"{k}.JPEG", quality=98)
    settings = {"classes": 2, "scale": [0.25, 0.25], "validation": 0, "size": 16}
    x, _ = collect(make(tmp_path, **settings, augment="crop").train_dataloader())
    # the ramps' values at the middle tell where a crop was, and their slopes which part of the side it has
    middle, reach = x[:, :2, 7:9, 7:9].float().mean((2, 3)), x.flatten(2).float()
    assert len({tuple(place) for place in middle.tolist()}) > 500
    height = (reach[:, 0].amax(1) - reach[:, 0].amin(1)) / 255 * 16 / 15
    width = (reach[:, 1].amax(1) - reach[:, 1].amin(1)) / 255 * 16 / 15
    assert (height * width).mean().item() == pytest.approx(0.25, rel=0.1)
    assert (height / width).log().abs().max() < np.log(4 / 3) + 0.15
    assert not (x[:, 1, 8, 0] > x[:, 1, 8, -1]).any()  # none is mirrored
    both, _ = collect(make(tmp_path, **settings, augment="crop_flip").train_dataloader())
    flipped = both[:, 1, 8, 0] > both[:, 1, 8, -1]
    assert 240 < int(flipped.sum()) < 360  # half of 600
    assert torch.equal(torch.where(flipped[:, None, None, None], both.flip(3), both), x)


def test_a_crop_is_torchvisions_with_the_generator_seeded_for_the_image(originals):
    loader = make(originals, augment="crop", interpolation="bicubic", antialias=False).train_dataloader()
    order, seeds, _ = loader._draws()
    x, _ = collect(loader)
    paths = sorted((originals / "train").rglob("*.JPEG"), key=lambda p: (p.parent.name, p.name))
    transform = v2.RandomResizedCrop(24, scale=(0.08, 1.0), interpolation=v2.InterpolationMode.BICUBIC, antialias=False)
    for k in (0, 5, 71):
        torch.manual_seed(int(seeds[k]))
        picture = pil_to_tensor(Image.open(paths[int(loader.index[order[k]])]))
        assert torch.equal(x[k], transform(picture))


def test_without_augmentation_training_images_are_cut_as_in_evaluation(originals):
    x, y = collect(make(originals, augment="none", validation=0).train_dataloader())
    order = torch.argsort(make(originals, augment="none", validation=0).train_dataloader()._draws()[0])
    data = make(originals, validation=0)
    data.files["val"] = data.files["train"]
    data.setup("test")
    plain, labels = collect(data.test_dataloader())
    assert torch.equal(x[order], plain)
    assert torch.equal(y[order], labels)


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_every_batch_and_every_split(originals, count):
    whole = make(originals)
    parts = []
    for rank in range(count):
        data = make(originals)
        data.share(Share(rank, count))
        parts.append(data)
    batches = [[y for _, y in data.train_dataloader().unscaled()] for data in parts]
    for k, (x, y) in enumerate(whole.train_dataloader().unscaled()):
        assert torch.equal(torch.cat([ys[k] for ys in batches]), y)
        assert len(x) == sum(len(ys[k]) for ys in batches) == whole.train_dataloader().whole_size(k)
    x, y = collect(whole.val_dataloader())
    shared = [collect(data.val_dataloader()) for data in parts]
    assert torch.equal(torch.cat([x for x, _ in shared]), x)
    assert torch.equal(torch.cat([y for _, y in shared]), y)


def test_limit_and_split_follow_split_seed(originals):
    base, other, few = make(originals), make(originals, split_seed=1), make(originals, limit=30)
    assert base.fingerprint == make(originals, seed=3).fingerprint
    assert len({base.fingerprint, other.fingerprint, few.fingerprint}) == 3
    assert not torch.equal(collect(base.val_dataloader())[0], collect(other.val_dataloader())[0])
    assert few.sizes == {"train": 30, "validation": 8, "test": None}


def test_the_fingerprint_sees_other_names_and_sizes(images):
    before = make(images).fingerprint
    path = images / "train" / WNIDS[1] / f"{WNIDS[1]}_7.JPEG"
    content = path.read_bytes()
    path.write_bytes(content + b"\0")
    larger = make(images).fingerprint
    path.rename(path.with_name("renamed.JPEG"))
    assert len({before, larger, make(images).fingerprint}) == 3


def test_corrupted_images_have_noise_of_their_own(originals):
    data = make(originals, "test")
    plain, y = collect(data.test_dataloader())
    noisy, labels = collect(dict(data.corrupted_tests())["noise"])
    added = noisy.int() - plain.int()
    assert torch.equal(y, labels)
    assert not torch.equal(added[0], added[1])
    inside = added[(plain > 80) & (plain < 175)].float()
    assert inside.std().item() == pytest.approx(25.5, rel=0.05)


def test_missing_folders(images):
    (images / "val").rename(images / "elsewhere")
    line = refusal(images)
    assert line.startswith(f"{images / 'val'} is missing")
    assert "train/CLASS/*.JPEG and val/CLASS/*.JPEG" in line
    line = refusal(images / "nothing")
    assert line.startswith(f"{images / 'nothing/imagenet/train'} is missing")


def test_images_that_are_not_sorted_into_folders(images):
    for path in sorted((images / "val").rglob("*.JPEG")):
        path.rename(images / "val" / f"{path.parent.name}_{path.name}")
    for wnid in WNIDS:
        (images / "val" / wnid).rmdir()
    assert refusal(images).startswith(
        f"{images / 'val'} has no class folders but 20 files, such as n01440764_ILSVRC2012_val_00000000.JPEG"
    )


def test_class_folders_that_are_missing(images):
    for path in (images / "val" / WNIDS[2]).iterdir():
        path.unlink()
    assert refusal(images) == f"{images / 'val'}: no images in {WNIDS[2]}"
    (images / "val" / WNIDS[2]).rmdir()
    assert refusal(images) == (f"{images}: train has 4 class folders and val 3, 4 are expected; val lacks {WNIDS[2]}")
    assert refusal(images, classes=None).endswith(f"they must be the same; val lacks {WNIDS[2]}")


def test_fewer_classes_or_images_than_the_whole_set(images, monkeypatch):
    line = refusal(images, classes=1000)
    assert line == (
        f"{images}: train has 4 class folders and val 4, 1,000 are expected; dataset.classes=null takes what is there"
    )
    assert make(images, classes=None).classes == 4
    for name, value in (("CLASSES", 4), ("TRAIN", 80), ("VAL", 20)):
        monkeypatch.setattr(imagenet, name, value)
    assert make(images).label == "ImageNet"
    for k in (2, 3):
        (images / "train" / WNIDS[3] / f"{WNIDS[3]}_{k}.JPEG").unlink()
    assert refusal(images) == (
        f"{images}: train has 78 of 80 images and val 20 of 20; fewest in train/{WNIDS[3]}, 18; "
        "dataset.classes=null takes what is there"
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_was_cut_short_is_named_in_one_line(images, workers):
    path = images / "train" / WNIDS[0] / f"{WNIDS[0]}_3.JPEG"
    path.write_bytes(path.read_bytes()[:300])
    data = make(images, workers=workers, validation=0)
    with pytest.raises(UserError) as caught:
        list(data.train_dataloader())
    assert str(caught.value).startswith(f"{path} cannot be read as an image: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"scale": [0.5, 0.1]}, "dataset.scale"),
        ({"scale": [0.5]}, "dataset.scale"),
        ({"resize": 20}, "dataset.resize=20"),
        ({"center_crop": 20}, "dataset.center_crop"),
        ({"scaling": "zca"}, "symmetric, unit, constants, binary"),
        ({"validation": 80}, "validation=80 leaves none"),
    ],
)
def test_settings_that_cannot_be(originals, settings, named):
    assert named in refusal(originals, **settings)


def test_grey_and_four_channel_files_become_color(images):
    for k, mode in enumerate(("L", "CMYK")):
        path = images / "train" / WNIDS[0] / f"{WNIDS[0]}_{k}.JPEG"
        Image.open(path).convert(mode).save(path)
    assert len(collect(make(images, validation=0).train_dataloader())[1]) == 80


def test_it_is_not_read_whole(originals):
    with pytest.raises(UserError, match="imagenet is streamed"):
        make(originals).read_test()


MEASURE = """
import resource, sys
from datamodules.imagenet import Config, ImageNet
config = Config(classes=None, size=64, workers=2, scaling="symmetric")
data = ImageNet(config, sys.argv[1], batch_size=100, seed=0, split_seed=0)
data.prepare_data()
data.setup("fit")
for x, y in data.train_dataloader():
    pass
peak = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(data.sizes["train"], data._loaders["train"].files.bytes(), *peak)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """An epoch over 20,000 images takes the memory of one over 1,000, in the process and in its workers, to some MiB;
    as uint8 [3, 64, 64] they would be 234 MiB."""
    tiny = io.BytesIO()
    Image.new("RGB", (32, 32), (90, 120, 30)).save(tiny, "JPEG")
    measured = {}
    for count in (1_000, 20_000):
        root = tmp_path / str(count)
        for part, images in (("train", count), ("val", 20)):
            for c in range(20):
                folder = root / part / f"n{c:08}"
                folder.mkdir(parents=True)
                for k in range(images // 20):
                    (folder / f"n{c:08}_{k}.JPEG").write_bytes(tiny.getvalue())
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(root)], capture_output=True, text=True, check=True, cwd=ROOT
        )
        measured[count] = [float(word) for word in done.stdout.split()]
    (few, _, *small), (many, size, *large) = measured[1_000], measured[20_000]
    assert (few, many) == (900, 19_000)  # 50 of 1,000 images of a class are for validation
    assert size < 40 * 20_000
    for before, after in zip(small, large, strict=True):
        assert after - before < 60
