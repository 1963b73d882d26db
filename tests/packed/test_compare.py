"""Predictions that differ are found, with the layer in which the first sign does and how near to 0 it is."""

from dataclasses import replace

import numpy as np
import torch

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
