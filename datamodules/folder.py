"""The user's own images, one folder a class."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

from configs.settings import UserError, setting
from datamodules import split
from datamodules.base import DataConfig, DataModule, Examples

VALIDATION_SHARE = 0.1


@dataclass
class Config(DataConfig):
    name: str = "folder"
    path: str = setting("${data_dir}", "folder with train/CLASS/*.png, test/CLASS/… and, if you like, val/CLASS/…")
    size: int = setting(32, "pixels: the shorter side is resized to this, then the middle square is kept", low=4)
    channels: int = setting(3, "3: color, 1: grey", low=1, high=3)


class Folder(DataModule):
    """Your own images: train/CLASS/*.png (or jpg, webp, …), test/CLASS/…, optional val/CLASS/… under data_dir.

    Classes are the sorted names of the folders in `train`; `test` and `val` must have the same. Without `val`, 10 % of
    each class of `train` is for validation, by `split_seed`. Images are resized with antialiasing (bilinear).
    """

    Config = Config

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        if config.channels == 2:
            raise UserError("dataset.channels=2 is not valid: 3 for color, 1 for grey")
        super().__init__(config, *args, **kwargs)
        self.path = Path(config.path).expanduser().resolve()
        self.label = f"folder {self.path.name}"
        self._from_val = 0

    def fetch(self) -> None:
        names = _class_names(self.path / "train")
        if len(names) < 2:
            raise UserError(f"{self.path / 'train'} has one class, {names[0]}: at least two are needed")
        for part in self._parts():
            found = _class_names(self.path / part)
            if found != names:
                only = ", ".join(sorted(set(names) ^ set(found)))
                raise UserError(f"{self.path / part} and {self.path / 'train'} differ in their classes: {only}")
        self.classes = len(names)

    def read_train(self) -> Examples:
        train = self._read("train")
        if "val" not in self._parts():
            return train
        val = self._read("val")
        self._from_val = len(val.labels)
        return Examples(torch.cat((train.images, val.images)), torch.cat((train.labels, val.labels)))

    def read_test(self) -> Examples:
        return self._read("test")

    def draw_validation(self, labels: np.ndarray) -> np.ndarray:
        if self._from_val:
            return np.arange(len(labels) - self._from_val, len(labels))
        return split.draw_per_class(labels, self.split_seed, share=VALIDATION_SHARE)

    def _parts(self) -> list[str]:
        return ["test", "val"] if (self.path / "val").exists() else ["test"]

    def _read(self, part: str) -> Examples:
        self.prepare_data()
        per_class = [_image_files(self.path / part / name) for name in _class_names(self.path / part)]
        paths = [path for paths in per_class for path in paths]
        with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
            images = list(pool.map(lambda path: load(path, self.config.size, self.config.channels), paths))
        labels = torch.repeat_interleave(torch.tensor([len(paths) for paths in per_class]))
        return Examples(torch.stack(images), labels)


def load(path: Path, size: int, channels: int) -> torch.Tensor:
    """An image file as uint8 [channels, size, size]. Raises UserError where it cannot be decoded."""
    try:
        with Image.open(path) as image:
            deep = image.mode.startswith(("I", "F"))
            image = resize(image.convert("RGB" if channels == 3 else "L"), [size])
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        raise UserError(f"{path} cannot be read as an image: {str(error).splitlines()[0]}") from error
    if deep:  # Pillow would clip its values at 255
        raise UserError(f"{path} has more than 8 bits a channel: convert it to 8 bits first")
    return pil_to_tensor(center_crop(image, [size]))


def _class_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise UserError(f"{folder} is missing: an image folder has train/CLASS/… and test/CLASS/… with image files")
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise UserError(f"{folder} has no folders in it: one a class is needed")
    return names


def _image_files(folder: Path) -> list[Path]:
    """All image files under a class' folder, in a fixed order."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMG_EXTENSIONS and not p.name.startswith("."))
    if not paths:
        raise UserError(f"{folder} has no image files ({', '.join(IMG_EXTENSIONS)})")
    return paths
