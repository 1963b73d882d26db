"""Nets of different architecture have different labels."""

import math
from dataclasses import fields

import pytest

from analysis.net_label import NO_PART_OF_A_NET, net_of
from configs.registry import NETS
from configs.settings import default_of
from tests.analysis.made_up import run


def row(name, **changed):
    """A record's settings of a net, the Config's defaults but for the changed ones."""
    settings = {item.name: default_of(item) for item in fields(NETS[name].Config)} | changed
    return {f"net.{key}": tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def others(setting):
    """Values of a setting that are not its default."""
    default = default_of(setting)
    if "choices" in setting.metadata:
        return [value for value in setting.metadata["choices"] if value != default]
    if isinstance(default, bool):
        return [not default]
    return [[300, 200]] if isinstance(default, list) else [default - 1 if default == 1 else (default or 0) + 2]


@pytest.mark.parametrize("name", NETS)
def test_every_change_of_architecture_changes_the_label(name):
    settings = [item for item in fields(NETS[name].Config) if item.name not in ("name", *NO_PART_OF_A_NET)]
    rows = [row(name), *(row(name, **{item.name: value}) for item in settings for value in others(item))]
    labels = [net_of(item) for item in rows]
    assert len(set(labels)) == len(labels) > 5
    assert all(label.startswith(name) for label in labels)


def test_labels():
    assert net_of(row("mlp")) == "mlp 1024×3"
    assert net_of(row("mlp", widths=[300, 100])) == "mlp 300-100"
    assert net_of(row("vgg", width=32)) == "vgg width 32"
    assert net_of(row("vgg", first_padding=0, norm_scale=False)) == "vgg width 128, first padding 0, no norm scale"
    assert net_of(row("vgg", norm="layer", dense=1024)) == "vgg width 128, dense 1024, layer norm"
    assert net_of(row("vgg_small", relu_before_norm=True, nonlinearity="none")) == (
        "vgg_small width 128, no nonlinearity, no output norm, relu before norm"
    )
    assert net_of({"net.name": "mynet", "net.units": 256.0, "net.skip": True}) == "mynet, skip, units 256"


def test_what_was_not_recorded_is_not_told():
    old = {"net.name": "vgg", "net.width": 32, "net.dense": math.nan, "net.widths": math.nan, "net.norm": None}
    assert net_of(old) == "vgg width 32"


def test_a_net_is_named_with_its_images_where_they_are_unusual():
    plain = run("ste", 0, 1.0)
    assert net_of(plain | {"dataset.scaling": "symmetric", "dataset.center_crop": math.nan}) == "mlp 64×2"
    small = {"net.name": "bernoulli_cnn", "net.width": 8.0, "net.depth": math.nan}
    unusual = {"dataset.scaling": "binary", "dataset.center_crop": 24.0, "dataset.augment": "crop_flip"}
    assert net_of(plain | small | unusual) == "bernoulli_cnn width 8, pixels ±1, crop 24, crop_flip"
