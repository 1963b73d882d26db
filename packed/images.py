"""Labelled images for a packed net: a data set's official test set, or a folder with one folder a class."""

from pathlib import Path
from typing import Any

import numpy as np

from .net import PackedNet
from .operations import PackError


def own_source(net: PackedNet) -> str:
    """The name of the data set that the net was trained on. PackError where the file has none that can be read."""
    source = net.info.get("dataset")
    if not source:
        raise PackError("the file names no data set: say which, or a folder of images")
    if source == "folder":
        raise PackError("the net was trained on a folder of images: give the folder of its test images, CLASS/*.png")
    return str(source)


def labelled(net: PackedNet, source: str, data_dir: str, subset: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (N, C, H, W) and labels (N,). `source` is a data set's name, or a folder of CLASS/*.png whose sorted
    names are the classes; `subset`: the part of the data set that is read where its setting `subset` is on. Images that
    are larger than the net's are cropped (data set) or resized (folder)."""
    if not net.input.takes_pixels:
        raise PackError(
            "the net takes images that are scaled by its training set (whitened, say): use that data set's own loader"
        )
    try:
        from configs.settings import UserError
        from datamodules import DATASETS
    except ImportError as error:
        raise PackError("data sets and folders are read by the benchmark's checkout: run it from there") from error
    try:
        if source in DATASETS and source != "folder":
            images, labels = _test_set(DATASETS[source], net, data_dir, subset)
        elif Path(source).is_dir():
            images, labels = _folder(Path(source), net)
        else:
            names = ", ".join(sorted(DATASETS.keys() - {"folder"}))
            raise PackError(f"{source} is no folder and no data set (valid: {names})")
    except UserError as error:
        raise PackError(str(error)) from error
    if images.shape[1:] != net.input_shape:
        raise PackError(f"{source} has images of {_sides(images.shape[1:])}, the net takes {_sides(net.input_shape)}")
    if labels.max() >= net.classes:
        raise PackError(f"{source} has {labels.max() + 1} classes, the net {net.classes}")
    return images, labels


def _test_set(kind: Any, net: PackedNet, data_dir: str, subset: bool) -> tuple[np.ndarray, np.ndarray]:
    from datamodules.scaling import center_crop

    config = kind.Config()
    if subset:
        if not hasattr(config, "subset"):
            raise PackError(f"the file speaks of a subset of {config.name}, which has none")
        config.subset = True
    data = kind(config, data_dir, batch_size=100, seed=0, split_seed=0)
    data.prepare_data()
    examples = data.read_test()
    images = examples.images
    own = net.info.get("dataset") in (None, config.name)  # another one's images would be cut beyond recognition
    if own and net.input_shape[1] == net.input_shape[2] < min(images.shape[2:]):
        images = center_crop(images, net.input_shape[1])
    return images.numpy(), examples.labels.numpy()


def _folder(folder: Path, net: PackedNet) -> tuple[np.ndarray, np.ndarray]:
    from datamodules.class_folders import class_names, image_files
    from datamodules.folder import load

    channels, height, width = net.input_shape
    if height != width or channels not in (1, 3):
        raise PackError(f"images of a folder become squares, grey or in color; the net takes {_sides(net.input_shape)}")
    images, labels, names = [], [], class_names(folder)
    if len(names) != net.classes:
        hint = f"; its test images are in {folder / 'test'}" if "test" in names else ""
        raise PackError(f"{folder} has {len(names)} class folders, the net {net.classes} classes{hint}")
    for label, name in enumerate(names):
        for path in image_files(folder / name):
            images.append(load(path, height, channels).numpy())
            labels.append(label)
    return np.stack(images), np.array(labels)


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
