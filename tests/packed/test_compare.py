"""Predictions that differ are found, with the layer in which the first sign does and how near to 0 it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import packed
from methods.binary.layers import BinaryConv2d, BinaryLinear
from methods.binary.sign import ActivationSign, WeightSign
from packed.compare import explain
from packed.fold import fold
from packed.operations import Add, Norm, Threshold
from tests.packed.conftest import SHAPES, scaled


def test_nothing_differs_where_all_is_exact(make, images):
    for method in ("ste", "bernoulli", "bnnplus", "binaryconnect"):
        trained = make(method, "tiny", outliers=False).net
        x = images(SHAPES["tiny"])
        assert explain(trained, fold(trained, SHAPES["tiny"], "symmetric"), scaled(x, "symmetric"), x) == []


def test_a_moved_threshold_is_found_in_its_layer(make, images):
    trained = make("ste", "tiny", seed=1, outliers=False).net
    net = fold(trained, SHAPES["tiny"], "symmetric")
    index = [i for i, o in enumerate(net.operations) if isinstance(o, Threshold)][1]
    moved = np.where(net.operations[index].threshold > 0, -28, 28).astype(np.int32)
    operations = list(net.operations)
    operations[index] = replace(operations[index], threshold=moved)
    x = images(SHAPES["tiny"], 40)
    found = explain(trained, replace(net, operations=tuple(operations)), scaled(x, "symmetric"), x)
    assert len(found) > 3
    with torch.no_grad():
        expected = trained(scaled(x, "symmetric")).argmax(1)
    for difference in found:
        assert difference.layer == "7"
        assert difference.trained == expected[difference.index] != difference.packed
        assert difference.signs > 0
        assert difference.margin > 0.01
    assert "signs of layer 7 differ" in str(found[0])


def test_a_moved_shift_is_found_at_the_sign_behind_the_sum(make, images):
    """In a net with shortcuts: batch norm of one branch gets another shift, and the sign of the sum is first to see."""
    shape = (3, 8, 8)
    trained = make("ste", "resnet20", shape=shape, outliers=False, width=3).net
    net = fold(trained, shape, "symmetric")
    index = [i for i, o in enumerate(net.operations) if isinstance(o, Add)][4]
    norm = net.graph[index][0]
    operations = list(net.operations)
    assert isinstance(operations[norm], Norm)
    operations[norm] = replace(operations[norm], shift=operations[norm].shift + np.float32(0.75))
    x = images(shape, 40)
    found = explain(trained, replace(net, operations=tuple(operations)), scaled(x, "symmetric"), x)
    assert len(found) > 3
    assert {difference.layer for difference in found} == {"13.branch.0"}
    assert all(0 < difference.margin <= 0.76 for difference in found)
    assert explain(trained, net, scaled(x, "symmetric"), x) == []


def test_the_step_of_a_bernoulli_layer_is_named_where_its_sum_is_0(make):
    """64 pixels of 17 grey values: sums are exactly 0 at times, and the trained net's float32 sum is then a little off.
    Batch norm makes of z = 0 and z = 1 values that are far from 0."""
    shape = (1, 8, 8)
    trained = make("bernoulli", "mlp", shape=shape, settings={"how": "exact"}, outliers=False, width=64, depth=1).net
    net = fold(trained, shape, "symmetric")
    images = (15 * np.random.default_rng(0).integers(0, 18, (600, *shape))).astype(np.uint8)
    x = scaled(images, "symmetric")
    with torch.no_grad():
        expected = trained(x).argmax(1).numpy()
        weight = trained[1].quantizer(trained[1].weight)
        rounded = trained[1].product(x.flatten(1), weight).numpy()
    exact = (2 * images.reshape(600, 64).astype(int) - 255) @ weight.numpy().astype(int).T
    crossed = (rounded >= 0) != (exact >= 0)
    assert (exact[crossed] == 0).all()
    differ = np.flatnonzero(packed.engine(net, "reference").predict(images) != expected)
    assert len(differ) > 3
    found = explain(trained, net, x, images)
    assert [d.index for d in found] == differ.tolist()
    for d in found:
        assert (d.layer, d.step) == ("3", "1")
        assert d.margin in np.abs(rounded[d.index][crossed[d.index]])
        assert 0 < d.margin < 1e-5
        assert d.typical == pytest.approx(np.sqrt((exact[d.index] / 255.0) ** 2 @ np.full(64, 1 / 64)), rel=1e-5)
        assert f"by the step of layer 1, of sums at most {d.margin:.1e} from 0" in str(d)
    one = int(differ[1])  # a product of one image rounds in its own way, so that all of x is computed for one
    assert explain(trained, net, x, images, [one]) == [found[1]]
    assert explain(trained, net, x, images, [i for i in range(9) if i not in differ]) == []


def test_a_moved_threshold_behind_a_step_is_not_told_as_its_rounding(make, images):
    trained = make("bernoulli", "tiny", seed=1, settings={"how": "exact"}, outliers=False).net
    net = fold(trained, SHAPES["tiny"], "symmetric")
    index = [i for i, o in enumerate(net.operations) if isinstance(o, Threshold)][1]
    operations = list(net.operations)
    moved = np.where(net.operations[index].threshold > 0, -28, 28).astype(np.int32)
    operations[index] = replace(operations[index], threshold=moved)
    x = images(SHAPES["tiny"], 40)
    found = explain(trained, replace(net, operations=tuple(operations)), scaled(x, "symmetric"), x)
    assert len(found) > 3
    assert {(d.layer, d.step) for d in found} == {("7", "")}
    assert all(d.margin > 0.01 for d in found)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("order", ["norm, pool, sign", "norm, sign, pool", "norm, pool, sign, pool"])
def test_a_moved_threshold_is_found_where_pools_are_around_the_sign(order, stride, images):
    """The signs that are compared are those of the trained net's sign, before or after each pool."""
    torch.manual_seed(0)
    steps = {"norm": nn.BatchNorm2d(5), "sign": ActivationSign()}
    named = [steps.get(step) or nn.MaxPool2d(3, stride, 1) for step in order.split(", ")]
    steps["norm"].running_mean.fill_(3.001)  # some of the largest of a window are below it
    side = 8 // stride ** order.count("pool")
    last = BinaryLinear(5 * side * side, 10, WeightSign())
    net = nn.Sequential(BinaryConv2d(1, 5, 3, WeightSign(), 1), *named, nn.Flatten(), last).eval()
    x = images((1, 8, 8), 120)
    folded = fold(net, (1, 8, 8), "symmetric")
    assert explain(net, folded, scaled(x, "symmetric"), x) == []
    index = next(i for i, o in enumerate(folded.operations) if isinstance(o, Threshold))
    operations = list(folded.operations)
    operations[index] = replace(operations[index], threshold=operations[index].threshold + np.int32(400))
    moved = replace(folded, operations=tuple(operations))
    found = explain(net, moved, scaled(x, "symmetric"), x)
    assert len(found) > 3
    place = named.index(steps["sign"])
    with torch.no_grad():
        taken = net[: 1 + place](scaled(x, "symmetric")).numpy()  # what the sign is taken of
        sums = net[0](scaled(x, "symmetric"))
        lower = steps["norm"](sums - 400 / 255)  # a threshold moved up is a sum moved down
        for pooling in named[1:place]:
            lower = pooling(lower)
    differs = (taken >= 0) != (lower.numpy() >= 0)
    for d in found:
        assert d.layer == str(1 + place)
        assert d.signs == differs[d.index].sum()
        assert d.margin == pytest.approx(np.abs(taken[d.index][differs[d.index]]).max(), rel=1e-6)
