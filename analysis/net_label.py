"""What tables call a net. Nets of different architecture have different labels, so that no ranking mixes them."""

import math
from typing import Any

import numpy as np
import pandas as pd

SIZED_BY_NUMBERS = ("mlp", "tiny")  # `mlp 2048×3`; others `vgg width 32`
# No label tells how batch norm's statistics are kept and what dropout does, which make no other net,
NO_PART_OF_A_NET = (
    *("norm_eps", "norm_factor", "norm_factor_dense", "norm_factor_output", "norm_running"),
    *("dropout_input", "dropout_hidden"),
)
# nor these usual values.
USUAL = {
    **{"norm": "batch", "norm_scale": True, "norm_affine": True, "output_norm": True},
    **{"first_padding": 1, "first_kernel": 6, "second_kernel": 10},
}
SCALED = {"binary": "pixels ±1"}


def net_of(row: Any) -> str:
    """`mlp 2048×3`, `vgg width 32`, `bernoulli_cnn width 8, pixels ±1, crop 24`: the net, its size, its other settings
    where they are not the usual ones, its images where they are not the data set's usual ones, and how many it is
    trained on where that is a part of them."""
    given = ((key, value) for key, value in sorted(row.items()) if key.startswith("net.") and not _missing(value))
    net = {key.removeprefix("net."): value for key, value in given}
    name, widths = net.pop("name"), net.pop("widths", ())
    numbers = [f"{net.pop(key):.0f}" for key in ("width", "depth") if key in net and name in SIZED_BY_NUMBERS]
    size = "-".join(map(str, widths)) or "×".join(numbers) or _told("width", net.pop("width", ()))
    parts = [f"{name} {size}".strip(), *filter(None, (_told(key, value) for key, value in net.items()))]
    scaling, crop, augment = (row.get(f"dataset.{key}") for key in ("scaling", "center_crop", "augment"))
    parts += [SCALED.get(scaling, str(scaling))] if scaling not in (None, "symmetric") else []
    parts += [f"crop {crop:.0f}"] if crop and not pd.isna(crop) else []
    parts += [str(augment)] if augment not in (None, "none") else []
    parts += [f"{row['limit_train']:.0f} training examples"] if row.get("limit_train") else []
    return ", ".join(parts)


def _told(setting: str, value: Any) -> str:
    """`dense 1024`, `double shortcut`, `no output norm`; an empty text where a label leaves the setting out."""
    words = setting.replace("_", " ")
    if setting in NO_PART_OF_A_NET or value == USUAL.get(setting):
        return ""
    if isinstance(value, bool | np.bool_):
        return words if value else f"no {words}" if setting in USUAL else ""
    if isinstance(value, str):
        return f"{'no' if value == 'none' else value} {words}"
    if isinstance(value, tuple):
        return f"{words} {'-'.join(map(str, value))}" if value else ""
    return f"{words} {value:g}"


def _missing(value: Any) -> bool:
    """Whether a record lacks the setting, or has null."""
    return value is None or (isinstance(value, float) and math.isnan(value))
