"""The net of a finished run as it is deployed: packed, run by the packed engine, and compared with the trained net."""

import sys
import time
from typing import Any

import numpy as np
import torch

from datamodules.loader import Loader
from packed.compare import explain
from packed.engines import Engine, engine
from packed.file import to_bytes
from packed.fold import fold
from packed.net import PackedNet
from packed.operations import PackError

from .trainer import Training

FAST_FROM = 3e11  # multiply-adds: seconds of the reference engine, and of loading numba for the fast one
SHOWN = 10  # differences of a split that a record tells of


def pack(training: Training) -> bytes | None:
    """Packs the net with its present weights, fills the record's `packed`, and returns the content of the file; None
    where the net cannot be packed, and the record says why."""
    record, start = training.record, time.perf_counter()
    try:
        training.method_with_data()  # where the net is evaluated, its own batch norm gives the thresholds
        net = _fold(training)
        content = to_bytes(net)
        splits = _splits(training)
        work = net.multiply_adds() * sum(len(batches.labels) for batches in splits.values())
        runner = engine(net, "auto" if work > FAST_FROM else "reference", torch.get_num_threads())
        record.packed = {"bytes": len(content), "float32_bytes": net.info["float32_bytes"], "engine": runner.name}
        for split, batches in splits.items():
            record.packed[split], speed = _compare(training, net, runner, batches)
        record.packed["images_per_second"] = speed
        record.packed["seconds"] = time.perf_counter() - start
        return content
    except PackError as error:
        record.packed = {"refused": str(error)}
    except Exception as error:  # the run is done, and its record is not to be lost
        record.packed = {"refused": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        print(f"packed: {record.packed['refused']}", file=sys.stderr)
    return None


def _fold(training: Training) -> PackedNet:
    config, scaling = training.run.config, training.data.scaling
    ends = {name: getattr(scaling, name).cpu().numpy() for name in ("shift", "scale") if hasattr(scaling, name)}
    info = {
        "run_id": training.record.run_id,
        "method": config.method.name,
        "dataset": config.dataset.name,
        "scaling": config.dataset.scaling,
        "net": config.net.name,
    }
    if getattr(config.dataset, "subset", False):  # whose test set is another
        info["subset"] = 1
    if names := training.data.class_names:
        info["classes"] = "/".join(names)
    return fold(training.method.net, training.data.input_shape, config.dataset.scaling, info=info, **ends)


def _splits(training: Training) -> dict[str, Loader]:
    """The test set last."""
    splits: dict[str, Any] = {"test": training.data.test_dataloader()}
    if training.data.sizes["validation"]:
        splits = {"validation": training.data.val_dataloader()} | splits
    return splits


@torch.no_grad()
def _compare(training: Training, net: PackedNet, runner: Engine, batches: Loader) -> tuple[dict[str, Any], float]:
    """Error in % of the packed net on a split and where its classes are others than the trained net's; images per
    second."""
    method, pixels = training.method.eval(), net.input.takes_pixels
    wrong, differ, seconds, count = 0, 0, 0.0, 0
    told: list[str] = []
    for stored, y in batches.unscaled():
        x = batches.scale(stored)
        images = stored.cpu().numpy() if pixels else x.float().cpu().numpy()
        if count == 0:
            runner.predict(images[:1])  # which may compile
        start = time.perf_counter()
        found = runner.predict(images)
        seconds += time.perf_counter() - start
        wrong += int((found != y.cpu().numpy()).sum())
        with training.trainer.precision_plugin.forward_context():
            trained = method.predict(x).argmax(1).cpu().numpy()
            places = np.flatnonzero(found != trained)
            differ += len(places)
            if len(shown := places[: SHOWN - len(told)]):
                told += [f"{count + i}: {text}" for i, text in _explained(training, net, x, images, shown)]
        count += len(x)
    error = 100 * wrong / count
    return {"error": error, "images": count, "differ": differ, "differences": told}, count / seconds


def _explained(
    training: Training, net: PackedNet, x: torch.Tensor, images: np.ndarray, places: np.ndarray
) -> list[tuple[int, str]]:
    """What is known of the images at `places`, which the nets tell differently, by their places in the batch."""
    known, reason = {}, "both predict the same where they are computed layer by layer"
    try:
        known = {d.index: str(d) for d in explain(training.method.net, net, x, images, places)}
    except PackError as error:
        reason = str(error)
    return [(i, known.get(i, f"not explained: {reason}")) for i in map(int, places)]
