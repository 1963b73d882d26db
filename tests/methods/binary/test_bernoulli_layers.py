"""Bernoulli layers against a loop over their sums, and what they are in evaluation."""

import math

import pytest
import torch
from scipy.special import expit
from torch.nn import functional as F

from methods.binary import bernoulli
from methods.binary.bernoulli import (
    CERTAIN,
    EXPECTATION,
    LAYER_WAYS,
    ActivationMean,
    BernoulliConv2d,
    BernoulliLinear,
    BernoulliParts,
    WeightMean,
    annealed_sigmoid,
    uncertainty,
)
from methods.binary.layers import binary_layers, fans
from methods.binary.poisson_binomial import clt_error, prob_sum_nonnegative, variance_of
from methods.binary.sign import Quantizer

D = torch.float64


def linear(how, fan_in=20, out=6, **options):
    torch.manual_seed(0)
    return BernoulliLinear(fan_in, out, WeightMean(), how, **options).double()


def conv(how, **options):
    torch.manual_seed(0)
    return BernoulliConv2d(2, 3, 3, WeightMean(), padding=1, stride=2, how=how, **options).double()


def input_means(*shape):
    """Uniform means, a tenth of them certain."""
    torch.manual_seed(1)
    x = 2 * torch.rand(*shape, dtype=D) - 1
    return torch.where(torch.rand(*shape) < 0.1, x.sign(), x).requires_grad_()


def sums(layer, x):
    """The means of the terms of every sum, (batch, out, places, N), by explicit loops over the places of a kernel."""
    w = torch.tanh(layer.weight / 2).flatten(1)
    if isinstance(layer, BernoulliLinear):
        return (x[:, None] * w)[:, :, None]
    padded = F.pad(x, (1, 1, 1, 1))
    height, width = (x.shape[2] - 1) // 2 + 1, (x.shape[3] - 1) // 2 + 1
    places = [(2 * i, 2 * j) for i in range(height) for j in range(width)]
    patches = torch.stack([padded[:, :, i : i + 3, j : j + 3].flatten(1) for i, j in places], 1)
    return patches[:, None] * w[:, None]


def gradients(z, layer, x, upstream):
    x.grad = layer.weight.grad = None
    (z * upstream).sum().backward()
    return x.grad.clone(), layer.weight.grad.clone()


@pytest.mark.parametrize("make", [linear, conv])
@pytest.mark.parametrize("how", LAYER_WAYS)
def test_the_output_is_the_probability_of_each_sum(how, make, monkeypatch):
    """For auto, a tolerance that the CLT keeps for half of these sums. All of it again in chunks of a few rows."""
    x = input_means(7, 20) if make is linear else input_means(3, 2, 6, 5)
    layer = make(how)
    with torch.no_grad():
        layer.weight.mul_(6)
        layer.weight.view(-1)[::5] = CERTAIN
        layer.weight[0] = -CERTAIN
    terms = sums(layer, x)
    z = layer(x)
    assert z.shape == ((7, 6) if make is linear else (3, 3, 3, 3))
    if how == "auto":
        error = clt_error(variance_of(terms))
        layer.tolerance = error.median().item()
        exact, clt = (prob_sum_nonnegative(terms, name) for name in ("exact", "clt"))
        expected = torch.where(error <= layer.tolerance, clt, exact).view_as(z)
        z = layer(x)
        assert 1e-4 < (z - exact.view_as(z)).abs().max() <= layer.tolerance
        assert (z - clt.view_as(z)).abs().max() > 1e-4
    else:
        expected = prob_sum_nonnegative(terms, how).view_as(z)
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-9)

    upstream = torch.randn_like(z)
    found = gradients(z, layer, x, upstream)
    torch.testing.assert_close(found, gradients(expected, layer, x, upstream), rtol=0, atol=1e-8)
    monkeypatch.setattr(bernoulli, "CHUNK", 250)
    again = layer(x)
    torch.testing.assert_close(again, z, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients(again, layer, x, upstream), found, rtol=0, atol=1e-10)


@pytest.mark.parametrize("make", [linear, conv])
@pytest.mark.parametrize("how", ["clt", "nominal"])
def test_a_layer_of_matrix_products_holds_no_tensor_of_terms(how, make):
    layer, x = make(how), input_means(7, 20) if make is linear else input_means(3, 2, 6, 5)
    limit = 2 * max(x.numel(), layer.weight.numel(), layer(x).numel())
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        layer(x)
    assert max(sizes) <= limit < sums(layer, x).numel()


@pytest.mark.parametrize("make", [linear, conv])
def test_math_expectation_layer_gives_the_expected_sum(make):
    layer, x = make(EXPECTATION), input_means(7, 20) if make is linear else input_means(3, 2, 6, 5)
    y = layer(x)
    torch.testing.assert_close(y, sums(layer, x).sum(-1).view_as(y))


@pytest.mark.parametrize("make", [linear, conv])
@pytest.mark.parametrize("how", [*LAYER_WAYS, EXPECTATION])
def test_evaluation_is_of_signs(how, make):
    """z is whether the sum of signs is nonnegative, also for real inputs; nominal keeps its slope, rising with the sum;
    a net with certain weights trains with the very sums that it evaluates with."""
    layer = make(how).eval()
    x = input_means(7, 20) if make is linear else input_means(3, 2, 6, 5)
    w = torch.where(layer.weight >= 0, 1.0, -1.0).double()
    for inputs in (x.detach(), x.detach().sign()):
        S = F.linear(inputs, w) if make is linear else F.conv2d(inputs, w, stride=2, padding=1)
        z = layer(inputs)
        N = fans(layer)[0]
        if how == EXPECTATION:
            expected = S
        elif how == "nominal":
            expected = 0.5 + 0.5 * torch.erf((S + (N % 2 == 0)) / math.sqrt(2 * N))
        else:
            expected = (S >= 0).double()
        torch.testing.assert_close(z, expected, rtol=0, atol=1e-12)
        if make is linear and set(inputs.unique().tolist()) == {-1, 1}:
            with torch.no_grad():
                layer.weight.copy_(w * CERTAIN)
            torch.testing.assert_close(layer.train()(inputs), z, rtol=0, atol=1e-9)
            layer.eval()
        if how == "nominal":
            layer.spread = 3.0
            wide = 0.5 + 0.5 * torch.erf((S + (N % 2 == 0)) / (3 * math.sqrt(2 * N)))
            torch.testing.assert_close(layer(inputs), wide, rtol=0, atol=1e-12)
            layer.spread = 1.0
    assert ((S == 0) & (z == (z if how in ("nominal", EXPECTATION) else 1))).any()


def test_zeros_of_the_padding_are_fair_coins():
    layer = conv("exact")
    with torch.no_grad():
        layer.weight.fill_(CERTAIN)
    corner = layer(torch.ones(1, 2, 6, 5, dtype=D))[0, 0, 0, 0].item()
    coins = 2 * (9 - 4)  # of 9 taps, 5 lie outside of the image, in each of 2 channels; the other 8 products are +1
    assert corner == pytest.approx(sum(math.comb(coins, k) for k in range(1, coins + 1)) / 2**coins)


@pytest.mark.parametrize("how", LAYER_WAYS)
def test_means_out_of_range_do_no_harm(how):
    layer = linear(how)
    x = (5 * torch.randn(7, 20, dtype=D)).requires_grad_()
    z = layer(x)
    z.sum().backward()
    assert ((z >= 0) & (z <= 1)).all()
    assert x.grad.isfinite().all()
    if how != "nominal":
        torch.testing.assert_close(z, layer(x.clamp(-1, 1)))


@pytest.mark.parametrize("how", ["clt", "nominal", "auto"])
def test_under_autocast_probabilities_stay_float32(how):
    layer, x = linear(how, fan_in=400).float(), input_means(7, 400).float()
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = layer(x)
    assert z.dtype == torch.float32
    assert (z - expected).abs().max() < (0.02 if how == "nominal" else 1e-6)


def test_weight_logits():
    quantizer = WeightMean()
    logits = torch.tensor([-CERTAIN, -2.0, -0.0, 0.0, 0.5, CERTAIN], dtype=D, requires_grad=True)
    expected = [2 / (1 + math.exp(-v)) - 1 for v in logits.tolist()]
    w = quantizer(logits)
    assert w.tolist() == pytest.approx(expected, abs=1e-15)
    assert (w[0].item(), w[-1].item()) == (-1, 1)
    w.sum().backward()
    assert logits.grad.tolist() == pytest.approx([(1 - v * v) / 2 for v in expected], abs=1e-15)
    assert (logits.grad[0].item(), logits.grad[-1].item()) == (0, 0)
    quantizer.eval()
    assert quantizer(logits).tolist() == [-1, -1, 1, 1, 1, 1]
    quantizer.soft = True
    assert torch.equal(quantizer(logits), w)


@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.0])
def test_annealed_sigmoid(temperature):
    a = [-3.0, -0.01, 0.0, 0.002, 1.0]
    expected = [expit(v / (temperature + 1e-4)) for v in a]
    assert annealed_sigmoid(torch.tensor(a, dtype=D), temperature).tolist() == pytest.approx(expected, rel=1e-12)
    activation = ActivationMean()
    activation.temperature.fill_(temperature)
    means = activation(torch.tensor(a, dtype=D))
    assert means.tolist() == pytest.approx([2 * p - 1 for p in expected], rel=1e-6, abs=1e-12)
    activation.eval()
    assert activation(torch.tensor(a, dtype=D)).tolist() == [-1, -1, 1, 1, 1]
    activation.soft = True
    assert torch.equal(activation(torch.tensor(a, dtype=D)), means)
    assert activation.state_dict() == {}


def test_regularizer():
    assert uncertainty(torch.tensor([1.0, -1.0, 0.0, 0.6])).item() == pytest.approx((0 + 0 + 1 + 0.64) / 4)


def test_parts_build_layers_of_the_chosen_way():
    parts = BernoulliParts(WeightMean, ActivationMean, how="clt", tolerance=0.02, spread=3.0)
    layers = [parts.linear("hidden", 8, 4), parts.conv("first", 2, 3, 5, padding=1, stride=2)]
    layers += [parts.linear("output", 8, 4), parts.conv("output", 2, 3, 5)]
    assert [(layer.how, layer.tolerance, layer.spread) for layer in layers[:2]] == [("clt", 0.02, 3.0)] * 2
    assert [layer.how for layer in layers[2:]] == [EXPECTATION] * 2
    assert layers[1](torch.zeros(1, 2, 9, 9)).shape == (1, 3, 4, 4)
    assert all(isinstance(layer.quantizer, Quantizer) for layer in layers)
    assert list(binary_layers(torch.nn.Sequential(*layers))) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("gradient", ["solve", "three", "five", "autograd"])
@pytest.mark.parametrize("make_layer", [linear, conv])
def test_the_gradient_of_exact_layers_is_the_one_asked_for(make_layer, gradient):
    layer = make_layer("exact", gradient=gradient)
    x = input_means(4, 20) if make_layer is linear else input_means(2, 2, 5, 5)
    expected = prob_sum_nonnegative(sums(layer, x), "exact", gradient=gradient)
    upstream = torch.randn(expected.shape, dtype=D)
    found = torch.autograd.grad(expected, (x, layer.weight), upstream)
    z = layer(x).flatten(2) if make_layer is conv else layer(x)[:, :, None]
    torch.testing.assert_close(z, expected)
    ours = torch.autograd.grad(z, (x, layer.weight), upstream)
    for a, b in zip(ours, found, strict=True):
        torch.testing.assert_close(a, b)
    if gradient in ("three", "five"):
        right = torch.autograd.grad(prob_sum_nonnegative(sums(layer, x), "exact"), x, upstream)[0]
        assert not torch.allclose(ours[0], right, rtol=1e-6)
