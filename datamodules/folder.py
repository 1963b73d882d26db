"""The user's own images, one folder a class."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

from configs.settings import UserError, setting
from datamodules import split
from datamodules.base import DataConfig, DataModule, Examples
from datamodules.class_folders import class_names, image_files, open_image, refuse_last

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
        refuse_last(config)
        super().__init__(config, *args, **kwargs)
        self.path = Path(config.path).expanduser().resolve()
        self.label = f"folder {self.path}"
        self._from_val = 0

    def fetch(self) -> None:
        if self.config.validation is not None and "val" in self._parts():
            raise UserError(f"dataset.validation={self.config.validation}: {self.path / 'val'} is the validation set")
        names = class_names(self.path / "train")
        if len(names) < 2:
            raise UserError(f"{self.path / 'train'} has one class, {names[0]}: at least two are needed")
        for part in self._parts():
            found = class_names(self.path / part)
            if found != names:
                only = ", ".join(sorted(set(names) ^ set(found)))
                raise UserError(f"{self.path / part} and {self.path / 'train'} differ in their classes: {only}")
        self.classes, self.class_names = len(names), names

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
        per_class = [image_files(self.path / part / name) for name in class_names(self.path / part)]
        paths = [path for paths in per_class for path in paths]
        with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
            images = list(pool.map(lambda path: load(path, self.config.size, self.config.channels), paths))
        labels = torch.repeat_interleave(torch.tensor([len(paths) for paths in per_class]))
        return Examples(torch.stack(images), labels)


def load(path: Path, size: int, channels: int) -> torch.Tensor:
    """An image file as uint8 [channels, size, size]. Raises UserError where it cannot be decoded."""
    return pil_to_tensor(center_crop(resize(open_image(path, channels), [size]), [size]))
