"""Convolutions are channels-last in a run, and nothing that it leaves shows it."""

import pytest
import torch
from torch import nn

from methods.binary.layers import BinaryConv2d
from training.memory_format import use_channels_last
from training.train import build, conclude


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [
        ("cpu", "32", True),
        ("cpu", "bf16", True),
        ("cuda", "32", False),
        ("cuda", "tf32", True),
        ("cuda", "bf16", True),
        ("mps", "32", False),
    ],
)
def test_where_it_is_used(device, precision, expected):
    net = nn.Sequential(nn.Conv2d(2, 3, 4), nn.Linear(5, 6))
    use_channels_last(net, torch.device(device), precision)
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last) == expected
    assert net[1].weight.is_contiguous()


def test_a_run_computes_channels_last_and_leaves_contiguous_weights(configure, assemble):
    run = configure("net=vgg", "net.width=4", "epochs=1", "limit_train=200")
    training = assemble(run)
    initial = {k: v.clone() for k, v in build(run)[1].net.state_dict().items()}
    net = training.method.net
    assert all(torch.equal(v, initial[k]) for k, v in net.state_dict().items())  # the same draws
    formats = []
    second = [m for m in net if isinstance(m, BinaryConv2d)][1]  # the first has one channel: both formats are the same
    second.register_forward_hook(
        lambda module, inputs, output: formats.append(output.is_contiguous(memory_format=torch.channels_last))
    )
    training.fit()
    conclude(training)
    assert len(formats) > 2
    assert all(formats)
    weights = torch.load(run.weights, weights_only=True)
    assert all(v.is_contiguous() for v in weights.values())
    assert not second.weight.is_contiguous()
