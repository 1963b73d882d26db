"""Folders of images, one folder a class: their classes, their files as a compact list, and the decoding of one."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from configs.settings import UserError


def refuse_last(config: Any) -> None:
    """UserError for a validation set of the last images: they are sorted by class."""
    if config.validation_from == "last":
        raise UserError(
            f"dataset.validation_from=last is not for {config.name}, whose images are sorted by class: "
            "the last ones would be whole classes"
        )


class ImageList:
    """The image files under `root`/CLASS/ for each of `classes`, sorted by class and then by name.

    Names lie in one block of bytes, with the place where each begins: about 30 bytes an image, whatever their number,
    and nothing in it that a worker process copies by reading. `labels`: int64 [N], the place of each one's class."""

    def __init__(self, root: Path, classes: Sequence[str]) -> None:
        self.root, self.classes = root, tuple(classes)
        names, lengths, counts = bytearray(), [], []
        with ThreadPoolExecutor() as pool:  # a folder on a network answers late, and many at once
            for files in pool.map(image_names, (root / name for name in self.classes)):
                encoded = [os.fsencode(file) for file in files]
                names += b"".join(encoded)
                lengths.append(np.array([len(name) for name in encoded], dtype=np.int64))
                counts.append(len(encoded))
        self.counts = np.array(counts, dtype=np.int64)
        self.ends = np.cumsum(np.concatenate(lengths)) if lengths else np.zeros(0, np.int64)
        self.names = np.frombuffer(bytes(names), dtype=np.uint8)
        self.labels = np.repeat(np.arange(len(self.classes)), self.counts)

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        start = self.ends[index - 1] if index else 0
        name = os.fsdecode(self.names[start : self.ends[index]].tobytes())
        return self.root / self.classes[self.labels[index]] / name

    def bytes(self) -> int:
        return self.names.nbytes + self.ends.nbytes + self.labels.nbytes


def class_names(folder: Path) -> list[str]:
    """The sorted names of the folders in `folder`, the classes. UserError where it is missing or has none."""
    if not folder.is_dir():
        raise UserError(f"{folder} is missing: an image folder has train/CLASS/… and test/CLASS/… with image files")
    names = folder_names(folder)
    if not names:
        raise UserError(f"{folder} has no folders in it: one a class is needed")
    return names


def folder_names(folder: Path) -> list[str]:
    """The sorted names of the folders in `folder`."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def image_names(folder: Path) -> list[str]:
    """The image files under a class' folder, by their paths from there, in a fixed order."""
    found = []
    for place, _, files in os.walk(folder, followlinks=True):
        inner = os.path.relpath(place, folder)
        found += [
            name if inner == "." else os.path.join(inner, name)
            for name in files
            if name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")
        ]
    return sorted(found, key=lambda name: name.split(os.sep))


def image_files(folder: Path) -> list[Path]:
    """The same as paths. UserError where there is none."""
    paths = [folder / name for name in image_names(folder)]
    if not paths:
        raise UserError(f"{folder} has no image files ({', '.join(IMG_EXTENSIONS)})")
    return paths


def open_image(path: Path, channels: int = 3) -> Image.Image:
    """The decoded image, in color (3 channels) or grey (1). UserError where that cannot be done."""
    try:
        with Image.open(path) as image:
            deep = image.mode.startswith(("I", "F"))
            decoded = image.convert("RGB" if channels == 3 else "L")
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} cannot be read as an image: {text}") from error
    if deep:  # Pillow would clip its values at 255
        raise UserError(f"{path} has more than 8 bits a channel: convert it to 8 bits first")
    return decoded
