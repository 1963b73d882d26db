"""Every kind of convolutional layer, norm and pooling gives the same numbers for weights and inputs laid out
channels-last as for others, and the same gradients."""

import copy

import pytest
import torch
from torch import nn

from methods.binary.bernoulli import LAYER_WAYS, ActivationMean, BernoulliConv2d, WeightMean
from methods.binary.gaussian import (
    MEANS,
    SIGNS,
    VALUES,
    BinaryActivation,
    BinaryDistribution,
    Gaussian,
    GaussianConv2d,
    StochasticBatchNorm2d,
    StochasticMaxPool2d,
)
from methods.binary.layers import BinaryConv2d
from methods.binary.random_weights import Coin, ConcreteSign
from methods.binary.shift import ShiftBatchNorm2d
from methods.binary.sign import ActivationSign, Quantizer, StochasticActivationSign, StochasticWeightSign, WeightSign
from methods.binary.swish import SwishSign

CHANNELS = (3, 5)
QUANTIZERS = [
    WeightSign(),
    StochasticWeightSign(),
    ActivationSign(),
    StochasticActivationSign(),
    SwishSign(5.0),
    Coin(),
    ConcreteSign(0.5, 1e-10),
]


def results(net: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The output; in training, the gradients of the input and of every parameter too."""
    if not net.training:
        with torch.no_grad():
            return [net(x)]
    x = x.detach().requires_grad_()
    net.zero_grad()
    y = net(x)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    (y * upstream).sum().backward()
    return [y.detach(), x.grad, *(p.grad.clone() for p in net.parameters())]


def check(net: nn.Module, x: torch.Tensor, training: bool) -> None:
    net = net.double().train(training)
    other = copy.deepcopy(net).to(memory_format=torch.channels_last)
    x = x.double()
    laid_out = x.contiguous(memory_format=torch.channels_last)
    assert not laid_out.is_contiguous()
    assert not next(p for p in other.parameters() if p.dim() == 4).is_contiguous()
    for ours, expected in zip(results(other, laid_out), results(net, x), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(3)
    return 2 * torch.rand(4, 3, 6, 5) - 1


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("quantizer", [WeightSign(), SwishSign(5.0)], ids=lambda q: type(q).__name__)
def test_signs(quantizer, training, x):
    torch.manual_seed(0)
    conv = BinaryConv2d(*CHANNELS, 3, quantizer, padding=1)
    check(nn.Sequential(conv, nn.MaxPool2d(2), nn.BatchNorm2d(5), ActivationSign()), x, training)


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=lambda q: type(q).__name__)
def test_a_quantizer_keeps_every_element_in_its_place(quantizer: Quantizer, x):
    """Of the quantizers that draw too: these values are so large that every draw has their sign."""
    quantizer = copy.deepcopy(quantizer)
    value = (x >= 0).float() if isinstance(quantizer, Coin) else 40 * x.sign()
    laid_out = value.contiguous(memory_format=torch.channels_last)
    for training in (True, False):
        assert torch.equal(quantizer.train(training)(laid_out).sign(), x.sign())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("statistic", ["inverse_std", "variance"])
def test_shift_based_batch_norm(statistic, training, x):
    torch.manual_seed(0)
    net = nn.Sequential(BinaryConv2d(*CHANNELS, 3, WeightSign()), ShiftBatchNorm2d(5, statistic=statistic))
    net(x)  # so that the running inverse is not zero
    check(net, x, training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("how", LAYER_WAYS)
def test_bernoulli_layers(how, training, x):
    torch.manual_seed(0)
    conv = BernoulliConv2d(*CHANNELS, 3, WeightMean(), padding=1, stride=2, how=how, tolerance=0.04)
    check(nn.Sequential(conv, nn.BatchNorm2d(5), ActivationMean()), x, training)


class FarApart(nn.Module):
    """Scales the means of a Gaussian, so that no draw decides which is the largest of a window."""

    def forward(self, x):
        return Gaussian(1e6 * x.mean, x.variance) if isinstance(x, Gaussian) else x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [VALUES, SIGNS, MEANS])
def test_gaussian_layers(kind, training, x):
    torch.manual_seed(0)
    conv = GaussianConv2d(*CHANNELS, 3, BinaryDistribution(), padding=1, input=kind)
    nn.init.uniform_(conv.weight, -0.9, 0.9)
    x = torch.where(x < 0, -1.0, 1.0) + 0 * x if kind == SIGNS else x
    norm = StochasticBatchNorm2d(5)
    check(nn.Sequential(conv, FarApart(), StochasticMaxPool2d(2), norm, BinaryActivation(False, 1.0)), x, training)
