"""ImageNet (ILSVRC 2012), streamed from its official folders; and any other set of images in the same folders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from configs.settings import UserError, setting
from datamodules import split
from datamodules.base import DataConfig, DataModule, Examples, hash_of
from datamodules.batches import AUGMENTATIONS
from datamodules.class_folders import ImageList, folder_names, refuse_last
from datamodules.corruptions import CORRUPTIONS
from datamodules.loader import Loader
from datamodules.scaling import check_scaling, fit
from datamodules.streamed import INTERPOLATIONS, StreamedBatches, middle_crop, random_crop

CLASSES, TRAIN, VAL = 1_000, 1_281_167, 50_000
SHARE, MOST = 0.1, 50  # of each class, for validation: 50,000 of the whole set, as many as its test set has
SIZED = 10_000  # files whose size is in the fingerprint
EVALUATION_BATCH = 250
SCALINGS = ("symmetric", "unit", "constants", "binary")  # those that need no pass over all images


@dataclass
class Config(DataConfig):
    name: str = "imagenet"
    scaling: str = setting("constants", "pixels to inputs", choices=SCALINGS)
    mean: list[float] = setting([0.485, 0.456, 0.406], "scaling=constants: mean of each channel of x/255")
    sd: list[float] = setting([0.229, 0.224, 0.225], "scaling=constants: deviation of each channel of x/255", above=0)
    augment: str = setting(
        "crop_flip",
        "of training images: a random part resized, mirroring; none: the crop of evaluation",
        choices=AUGMENTATIONS,
    )
    classes: int | None = setting(
        CLASSES, f"class folders; {CLASSES}: the whole set; another number, or null for any: a part of it", low=2
    )
    size: int = setting(224, "side in pixels of what the net sees", low=8)
    resize: int | None = setting(
        None, "evaluation: the shorter side before the middle is cut out; null: 256/224 of size", low=8
    )
    scale: list[float] = setting([0.08, 1.0], "share of the image's area that a training crop has, from, to", above=0)
    interpolation: str = setting("bilinear", "how images are resized", choices=INTERPOLATIONS)
    antialias: bool = setting(True, "whether resizing to fewer pixels averages over those left out")
    workers: int | None = setting(
        None, "processes a device that decode images; null: as many as it has threads", low=0, identity=False
    )


class ImageNet(DataModule):
    """ImageNet: color photographs of 1,000 things, 1,231,167 / 50,000 / 50,000; streamed, never whole in memory.

    Read from `data_dir` or `data_dir/imagenet`: `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`, one folder a class, named
    by its WordNet number. Labels are the places of the sorted names. The official validation set is the test set, since
    the labels of the official test set are not public. Validation: 50 images of each class of the official training
    set, of a class of fewer than 500 a tenth, drawn by `split_seed`.

    `classes`: with 1,000, the default, all 1,281,167 and 50,000 images must be there. Another number takes a part of
    ImageNet, or another set in such folders; its label has the numbers, so that it is never taken for ImageNet.

    The fingerprint is of the names and places of all files, the sizes of 10,000 of them, and the split.

    Training: a random part of the image, resized, mirrored half of the time. Evaluation: the shorter side resized to
    `resize`, the middle cut out."""

    Config = Config

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        refuse_last(config)
        super().__init__(config, *args, **kwargs)
        self.label = "ImageNet"
        self.resize = config.resize or round(config.size * 256 / 224)
        if len(config.scale) != 2 or config.scale[0] > config.scale[1]:
            raise UserError(f"dataset.scale={config.scale} is not valid: two numbers, the smaller one first")
        if config.center_crop is not None:
            raise UserError(f"dataset.center_crop={config.center_crop}: with {config.name} dataset.size sets the side")
        if self.resize < config.size:
            raise UserError(f"dataset.resize={self.resize} must be at least dataset.size={config.size}")

    @property
    def folder(self) -> Path:
        return self.data_dir if (self.data_dir / "train").exists() else self.data_dir / "imagenet"

    def fetch(self) -> None:
        self.files = {part: _list(self.folder / part) for part in ("train", "val")}
        train, val = self.files.values()
        expected, hint = self.config.classes, "dataset.classes=null takes what is there"
        found = f"train has {len(train.classes):,} class folders and val {len(val.classes):,}"
        if train.classes != val.classes or len(train.classes) != (expected or len(train.classes)):
            lacks = [
                f"{name} lacks {_some(missing)}"
                for name, one, other in (("train", train, val), ("val", val, train))
                if (missing := sorted(set(other.classes) - set(one.classes)))
            ]
            wanted = f"{expected:,} are expected" if expected else "they must be the same"
            raise UserError("; ".join([f"{self.folder}: {found}, {wanted}", *lacks, *([hint] if not lacks else [])]))
        for name, files in (("train", train), ("val", val)):
            if empty := [c for c, count in zip(files.classes, files.counts, strict=True) if not count]:
                raise UserError(f"{self.folder / name}: no images in {_some(empty)}")
        if len(train.classes) < 2:
            raise UserError(f"{self.folder / 'train'} has one class, {train.classes[0]}: at least two are needed")
        if expected == CLASSES and (len(train), len(val)) != (TRAIN, VAL):
            short = [name for name, files, all in (("train", train, TRAIN), ("val", val, VAL)) if len(files) != all]
            few = self.files[short[0]]
            least = int(few.counts.argmin())
            raise UserError(
                f"{self.folder}: train has {len(train):,} of {TRAIN:,} images and val {len(val):,} of {VAL:,}; "
                f"fewest in {short[0]}/{few.classes[least]}, {few.counts[least]:,}; {hint}"
            )
        self.classes = len(train.classes)
        if expected != CLASSES:
            self.label = f"folders of {self.classes:,} classes {len(train)}/{len(val)}"

    def draw_validation(self, labels: np.ndarray) -> np.ndarray:
        return split.draw_per_class(labels, self.split_seed, share=SHARE, most=MOST)

    def setup_train(self) -> None:
        self.prepare_data()
        c, files = self.config, self.files["train"]
        train, validation = self.divide(files.labels)
        sized = [file for part in self.files.values() for file in _sizes(part)]
        places = [array for part in self.files.values() for array in (part.names, part.ends, part.labels)]
        names = np.frombuffer("/".join(files.classes).encode(), dtype=np.uint8)
        self.fingerprint = hash_of(names, *places, np.array(sized), train, validation)
        self.input_shape = (3, c.size, c.size)
        check_scaling(c, self.input_shape)
        self.scaling = fit(c, torch.empty(0, *self.input_shape, dtype=torch.uint8, device=self.device))
        cut = random_crop(c.size, tuple(c.scale), c.interpolation, c.antialias) if c.augment != "none" else None
        self._loaders["train"] = self._stream(
            files, train, self.batch_size, cut=cut, seed=self.seed, mirror=c.augment == "crop_flip"
        )
        if len(validation):
            self._loaders["validation"] = self._stream(files, validation, EVALUATION_BATCH)

    def setup_test(self) -> None:
        self._loaders["test"] = self._test()
        self.sizes["test"] = len(self.files["val"])

    def corrupted_tests(self) -> Iterator[tuple[str, Loader]]:
        return ((corruption, self._test(corruption)) for corruption in CORRUPTIONS)

    def read_train(self) -> Examples:
        raise UserError(f"{self.config.name} is streamed, and not read into memory as a whole")

    read_test = read_train

    def _test(self, corruption: str | None = None) -> StreamedBatches:
        files = self.files["val"]
        return self._stream(files, np.arange(len(files)), EVALUATION_BATCH, corruption=corruption)

    def _stream(self, files: ImageList, index: np.ndarray, batch_size: int, **options: Any) -> StreamedBatches:
        c = self.config
        cut = options.pop("cut", None) or middle_crop(c.size, self.resize, c.interpolation, c.antialias)
        return StreamedBatches(
            files, index, batch_size, self.scaling, cut=cut, workers=c.workers, device=self.device, **options
        )


def _list(folder: Path) -> ImageList:
    """The images of `train` or `val`. UserError where the folder is missing or has none of a class."""
    layout = "an official folder has train/CLASS/*.JPEG and val/CLASS/*.JPEG"
    if not folder.is_dir():
        raise UserError(f"{folder} is missing: {layout}; set data_dir (or BNN_DATA) to a folder that has them")
    if names := folder_names(folder):
        return ImageList(folder, names)
    files = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    found = f"{len(files):,} files, such as {files[0]}" if files else "nothing in it"
    raise UserError(f"{folder} has no class folders but {found}: {layout}; unpack or sort the images into them")


def _sizes(files: ImageList) -> list[int]:
    """Bytes of at most `SIZED` files, evenly spread: copies with fewer pixels have the same names."""
    chosen = np.unique(np.linspace(0, len(files) - 1, min(SIZED, len(files))).round().astype(np.int64))
    return [files.path(int(number)).stat().st_size for number in chosen]


def _some(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
