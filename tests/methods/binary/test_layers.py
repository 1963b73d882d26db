"""A binary layer is the float layer fed with signed tensors: forward pass and all gradients."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods.binary.layers import BinaryConv2d, BinaryLinear, Parts, binary_layers, fans
from methods.binary.normalization import NormSettings
from methods.binary.sign import ActivationSign, Identity, WeightSign


def signed(x: torch.Tensor) -> torch.Tensor:
    return (2 * (x >= 0).to(x.dtype) - 1).requires_grad_()


def check_against_float(layer, float_layer, x):
    """The float layer's gradient with respect to the signed weight is the latent weight's, straight through; that with
    respect to the signed input is the input's where |x| ≤ 1."""
    latent = layer.weight.detach()
    assert not torch.isin(latent, torch.tensor([-1.0, 1.0])).all()
    activation = ActivationSign()
    y = layer(activation(x))
    upstream = torch.randn_like(y)
    y.backward(upstream)

    weight, a = signed(latent), signed(x.detach())
    expected = float_layer(a, weight)
    expected.backward(upstream)
    assert torch.equal(y, expected)
    assert torch.equal(layer.weight.grad, weight.grad)
    assert torch.equal(x.grad, a.grad * (x.detach().abs() <= 1))
    assert torch.equal(layer.weight.detach(), latent)


def test_binary_linear():
    torch.manual_seed(0)
    layer = BinaryLinear(20, 7, WeightSign())
    check_against_float(layer, F.linear, (2 * torch.randn(5, 20)).requires_grad_())
    assert layer.bias is None


@pytest.mark.parametrize(("padding", "stride", "size"), [(0, 1, (4, 5)), (1, 1, (6, 7)), (1, 2, (3, 4))])
def test_binary_convolution(padding, stride, size):
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 5, 3, WeightSign(), padding, stride)

    def float_layer(a, weight):
        return F.conv2d(a, weight, padding=padding, stride=stride)

    check_against_float(layer, float_layer, (2 * torch.randn(2, 3, 6, 7)).requires_grad_())
    assert layer(torch.zeros(2, 3, 6, 7)).shape == (2, 5, *size)
    assert layer.bias is None


def test_padding_is_zero_not_plus_one():
    layer = BinaryConv2d(1, 1, 3, WeightSign(), padding=1)
    with torch.no_grad():
        layer.weight.fill_(0.3)
    corner = layer(torch.ones(1, 1, 4, 4))[0, 0, 0, 0].item()
    assert corner == 4  # of 9 taps, 5 lie outside the image


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (BinaryLinear(784, 4096, Identity()), (784, 4096)),
        (BinaryConv2d(128, 256, 3, Identity()), (9 * 128, 9 * 256)),
        (BinaryConv2d(3, 8, 5, Identity()), (75, 200)),
    ],
)
def test_fans(layer, expected):
    assert fans(layer) == expected


def test_membership_is_by_type_and_never_by_name():
    net = nn.Sequential()
    net.add_module("binary_linear", nn.Linear(4, 4))
    net.add_module("plain", nn.Sequential(BinaryConv2d(1, 2, 3, WeightSign()), nn.BatchNorm2d(2)))
    net.add_module("batch_norm", BinaryLinear(4, 4, WeightSign()))
    assert list(binary_layers(net)) == ["plain.0", "batch_norm"]


def test_every_norm_is_made_of_the_options_and_of_what_the_net_asks_for():
    parts = Parts(WeightSign, ActivationSign, norm_options={"eps": 0.5, "momentum": 0.25})
    free, fixed = parts.norm1d("hidden", 3), parts.norm2d("output", 4, NormSettings(scale=False))
    assert [type(norm) for norm in (free, fixed)] == [nn.BatchNorm1d, nn.BatchNorm2d]
    assert [(n.num_features, n.eps, n.momentum) for n in (free, fixed)] == [(3, 0.5, 0.25), (4, 0.5, 0.25)]
    assert (free.weight.requires_grad, fixed.weight.requires_grad, fixed.bias.requires_grad) == (True, False, True)
    asked = parts.norm1d("hidden", 3, NormSettings(eps=0.125, factor=0.75, shift=False))
    assert (asked.eps, asked.momentum) == (0.125, 0.75)
    assert (asked.weight.requires_grad, asked.bias.requires_grad) == (True, False)


def test_channels_last_changes_no_result():
    """Of a convolution and its gradients, whichever of weight and input is laid out that way."""
    torch.manual_seed(0)
    layer, x = BinaryConv2d(3, 5, 3, WeightSign(), padding=1).double(), torch.randn(2, 3, 6, 7).double()
    upstream = torch.randn(2, 5, 6, 7).double()
    plain, last = torch.contiguous_format, torch.channels_last
    results = []
    for of_weight, of_input in [(plain, plain), (last, plain), (plain, last), (last, last)]:
        layer.zero_grad()
        layer.to(memory_format=of_weight)
        a = x.detach().to(memory_format=of_input).requires_grad_()
        y = layer(ActivationSign()(a))
        y.backward(upstream)
        results.append((y, layer.weight.grad, a.grad))
    for other in results[1:]:
        for ours, expected in zip(other, results[0], strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
