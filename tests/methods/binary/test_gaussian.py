"""Moments against exact enumeration and Monte Carlo, and everything on distributions against scalar restatements."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn
from torch.nn import functional as F

from methods.binary.gaussian import (
    MEANS,
    SIGNS,
    VALUES,
    VARIANCE_FLOOR,
    BinaryActivation,
    BinaryDistribution,
    Gaussian,
    GaussianConv2d,
    GaussianLinear,
    StochasticBatchNorm1d,
    StochasticBatchNorm2d,
    StochasticMaxPool2d,
    expected_sign,
    hard_concrete,
    log_odds,
    normalize,
    relaxed_concrete,
)

KINDS = [VALUES, SIGNS, MEANS]
FLOAT64 = {"rtol": 1e-12, "atol": 1e-12}


def inputs(kind: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Inputs of a kind, with an exact 0 among real values and means, and certain signs among means."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, shape)
    if kind == SIGNS:
        return np.where(x < 0, -1.0, 1.0)
    x.flat[0] = 0
    if kind == MEANS:
        x.flat[1:3] = 1, -1
    return x


def parameters(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    """θ uniform in [−1, 1], with a fair coin and two certain weights."""
    theta = np.random.default_rng(seed).uniform(-1, 1, shape)
    theta.flat[:3] = 0, 1, -1
    return theta


def all_signs(n: int) -> np.ndarray:
    return np.array(list(itertools.product([-1.0, 1.0], repeat=n)))


def enumerated(theta: np.ndarray, h: np.ndarray, kind: str) -> tuple[float, float]:
    """Mean and variance of Σ w_d h_d over every value that independent w ~ Binary(θ), and random h, can take."""
    weights = all_signs(len(theta))
    of_weights = ((1 + weights * theta) / 2).prod(1)
    if kind == MEANS:
        values = all_signs(len(h))
        of_values = ((1 + values * h) / 2).prod(1)
    else:
        values, of_values = h[None], np.ones(1)
    sums = weights @ values.T
    probability = of_weights[:, None] * of_values
    assert probability.sum() == pytest.approx(1)
    mean = (probability * sums).sum()
    return mean, (probability * (sums - mean) ** 2).sum()


def linear(theta: np.ndarray, kind: str) -> GaussianLinear:
    layer = GaussianLinear(theta.shape[1], theta.shape[0], BinaryDistribution(), kind).double()
    layer.weight.data = torch.from_numpy(theta)
    return layer


def conv(theta: np.ndarray, kind: str, padding: int) -> GaussianConv2d:
    layer = GaussianConv2d(
        theta.shape[1], theta.shape[0], theta.shape[2], BinaryDistribution(), padding, input=kind
    ).double()
    layer.weight.data = torch.from_numpy(theta)
    return layer


@pytest.mark.parametrize("kind", KINDS)
def test_linear_moments_are_those_of_all_weights_enumerated(kind):
    theta, h = parameters((3, 5)), inputs(kind, (4, 5))
    result = linear(theta, kind)(torch.from_numpy(h))
    for b, unit in itertools.product(range(4), range(3)):
        mean, variance = enumerated(theta[unit], h[b], kind)
        assert result.mean[b, unit].item() == pytest.approx(mean, rel=1e-12, abs=1e-12)
        assert result.variance[b, unit].item() == pytest.approx(variance, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_convolution_moments_are_those_of_all_weights_enumerated(kind, padding):
    """A tap outside the image is an input of exactly 0, which is no random sign: it adds no variance."""
    k, height, width = (2, 3, 3) if padding == 0 else (3, 2, 2)
    theta, h = parameters((2, 2, k, k)), inputs(kind, (2, 2, height, width))
    result = conv(theta, kind, padding)(torch.from_numpy(h))
    assert result.mean.shape == result.variance.shape == (2, 2, 2, 2)
    for b, unit, row, column in itertools.product(range(2), range(2), range(2), range(2)):
        inside = [
            (c, i, j)
            for c, i, j in itertools.product(range(2), range(k), range(k))
            if 0 <= row + i - padding < height and 0 <= column + j - padding < width
        ]
        taps = np.array([theta[unit, c, i, j] for c, i, j in inside])
        seen = np.array([h[b, c, row + i - padding, column + j - padding] for c, i, j in inside])
        assert len(taps) == 8
        mean, variance = enumerated(taps, seen, kind)
        assert result.mean[b, unit, row, column].item() == pytest.approx(mean, rel=1e-12, abs=1e-12)
        assert result.variance[b, unit, row, column].item() == pytest.approx(variance, rel=1e-12, abs=1e-12)


def check_draws(draws: torch.Tensor, expected: Gaussian) -> None:
    """Mean and variance of draws [n, …] within 4 σ: σ of a mean is s/√n, of a variance √((μ4 − s⁴)/n)."""
    n = len(draws)
    centered = draws - expected.mean
    fourth = centered.pow(4).mean(0)
    assert (draws.mean(0) - expected.mean).abs().le(4 * (expected.variance / n).sqrt()).all()
    sigma = ((fourth - expected.variance.square()) / n).sqrt()
    assert (centered.square().mean(0) - expected.variance).abs().le(4 * sigma).all()


def draw_signs(mean: torch.Tensor, n: int) -> torch.Tensor:
    return torch.where(torch.rand(n, *mean.shape, dtype=mean.dtype) < (1 + mean) / 2, 1.0, -1.0).double()


@pytest.mark.parametrize("kind", KINDS)
def test_linear_moments_are_those_of_drawn_weights(kind):
    torch.manual_seed(3)
    theta, h = torch.from_numpy(parameters((2, 20))), torch.from_numpy(inputs(kind, (2, 20)))
    weights = draw_signs(theta, 10**5)
    values = draw_signs(h, 10**5) if kind == MEANS else h.expand(10**5, -1, -1)
    check_draws(values @ weights.mT, linear(theta.numpy(), kind)(h))


@pytest.mark.parametrize("kind", [VALUES, SIGNS])
def test_padded_convolution_moments_are_those_of_drawn_weights(kind):
    torch.manual_seed(4)
    theta, h = torch.from_numpy(parameters((1, 2, 3, 3))), torch.from_numpy(inputs(kind, (1, 2, 3, 4)))
    draws = F.conv2d(h, draw_signs(theta[0], 10**5), padding=1)[0]
    check_draws(draws, Gaussian(*(t[0, 0] for t in conv(theta.numpy(), kind, 1)(h))))


def test_the_variance_keeps_its_digits_where_nearly_all_is_certain():
    """In bfloat16 the paper's D − f(θ², φ²) would be a difference of two equal numbers."""
    rng = np.random.default_rng(0)
    theta, h = (s * rng.choice([-1, 1], shape) for s, shape in ((0.9995, (8, 1000)), (0.999, (16, 1000))))
    exact = 1000 - (h**2) @ (theta**2).T
    layer = linear(theta, MEANS).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = layer(torch.from_numpy(h).float())
        naive = 1000 - F.linear(torch.from_numpy(h**2).float(), layer.weight.detach().square()).double().numpy()
    assert result.mean.dtype == result.variance.dtype == torch.float32
    np.testing.assert_allclose(result.variance.detach().numpy(), exact, rtol=0.01)
    assert np.abs(naive / exact - 1).min() > 0.2
    assert (linear(np.sign(theta), MEANS)(torch.from_numpy(np.sign(h))).variance == 0).all()


def test_no_gradient_flows_through_the_square_of_a_sign():
    theta, h = torch.from_numpy(parameters((3, 6))), torch.from_numpy(inputs(SIGNS, (2, 6))).requires_grad_()
    layer = linear(theta.numpy(), SIGNS)
    layer(h).variance.sum().backward()
    assert h.grad is None
    torch.testing.assert_close(layer.weight.grad, 2 * -2 * theta, **FLOAT64)  # of 2 examples, each Σ (1 − θ²)


@pytest.mark.parametrize("kind", KINDS)
def test_outside_of_training_a_layer_is_the_binary_one(kind):
    theta = parameters((4, 2, 3, 3))
    signs = np.where(theta >= 0, 1.0, -1.0)
    layer, x = conv(theta, kind, 1), torch.from_numpy(inputs(VALUES, (2, 2, 5, 5)))
    expected = F.conv2d(x, torch.from_numpy(signs), padding=1)
    assert isinstance(layer(x), Gaussian)
    layer.quantizer.hard = True  # as `as_signs` sets it
    assert torch.equal(layer(x), expected)
    layer.quantizer.hard = False
    assert torch.equal(layer.eval()(x), expected)
    layer.train()
    layer.quantizer.real = True  # the twin
    assert torch.equal(layer(x), F.conv2d(x, torch.from_numpy(theta), padding=1))
    assert torch.equal(layer.eval()(x), expected)


@pytest.mark.parametrize("theta", [-1.0, -0.75, 0.0, 0.3, 1.0])
def test_a_drawn_weight_is_plus_one_with_its_probability(theta):
    quantizer, x = BinaryDistribution().eval(), torch.full((10**5,), theta)
    assert quantizer(x).unique().tolist() == [1.0 if theta >= 0 else -1.0]
    quantizer.drawing, quantizer.seed = True, 7
    torch.manual_seed(0)
    state = torch.get_rng_state()
    drawn = quantizer(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(quantizer(x), drawn)  # a draw is one net, however many batches it sees
    p = (1 + theta) / 2
    assert set(drawn.tolist()) <= {-1, 1}
    assert abs((drawn > 0).double().mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / 10**5)
    quantizer.seed = 8
    assert torch.equal(quantizer(x), drawn) == (abs(theta) == 1)


def test_local_reparametrization_draws_the_stated_distribution():
    torch.manual_seed(0)
    mean, variance = torch.tensor([-3.0, 0.0, 0.5]).double(), torch.tensor([4.0, 0.25, 0.0]).double()
    draws = Gaussian(mean.expand(10**5, 3), variance.expand(10**5, 3)).draw()
    check_draws(draws, Gaussian(mean, variance + VARIANCE_FLOOR))


@pytest.mark.parametrize("shape", [(5, 3), (3, 2, 2, 4)])
def test_stochastic_batch_norm_is_that_of_the_paper(shape):
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(1, 2, shape), rng.uniform(0, 3, shape)
    variance.flat[0] = 0
    gamma, beta = rng.normal(1, 1, shape[1]), rng.normal(0, 1, shape[1])
    layer = (StochasticBatchNorm1d if len(shape) == 2 else StochasticBatchNorm2d)(shape[1], eps=1e-4).double()
    layer.weight.data, layer.bias.data = torch.from_numpy(gamma), torch.from_numpy(beta)
    result = layer(Gaussian(torch.from_numpy(mean), torch.from_numpy(variance)))
    for c in range(shape[1]):
        of_channel = [(b, c, *rest) for b in range(shape[0]) for rest in np.ndindex(shape[2:])]
        big_m = len(of_channel)
        m = sum(mean[i] for i in of_channel) / big_m
        v = (sum(variance[i] for i in of_channel) + sum((mean[i] - m) ** 2 for i in of_channel)) / (big_m - 1)
        for i in of_channel:
            expected = gamma[c] * (mean[i] - m) / math.sqrt(v + 1e-4) + beta[c]
            assert result.mean[i].item() == pytest.approx(expected, rel=1e-9)
            assert result.variance[i].item() == pytest.approx(gamma[c] ** 2 * variance[i] / (v + 1e-4), rel=1e-9)
    assert torch.equal(layer.running_mean, torch.zeros_like(layer.running_mean))
    assert layer.num_batches_tracked == 0


@pytest.mark.parametrize("training", [True, False])
def test_of_a_tensor_batch_norm_and_pooling_are_the_ordinary_ones(training):
    torch.manual_seed(0)
    x = torch.randn(6, 3, 4, 4)
    for ours, theirs, z in [
        (StochasticBatchNorm2d(3), nn.BatchNorm2d(3), x),
        (StochasticBatchNorm1d(48), nn.BatchNorm1d(48), x.flatten(1)),
        (StochasticMaxPool2d(2), nn.MaxPool2d(2), x),
        (StochasticMaxPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1), x),
    ]:
        assert torch.equal(ours.train(training)(z), theirs.train(training)(z))
        assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), theirs.buffers(), strict=True))


def test_batch_norm_of_a_single_value_is_refused():
    one = torch.ones(1, 3)
    with pytest.raises(ValueError, match="more than one value per channel"):
        normalize(Gaussian(one, one), one[0], one[0], 1e-4)


def test_pooling_passes_on_the_pair_of_the_largest():
    mean = torch.tensor([[1.0, 5.0, 2.0, 2.5], [3.0, 4.0, -1.0, 0.0]]).view(1, 1, 2, 4).requires_grad_()
    variance = torch.zeros(1, 1, 2, 4)
    variance[..., 1, 1], variance[..., 0, 3] = 1e-8, 2e-8  # of a value that is not the largest, and of one that is
    pooled = StochasticMaxPool2d(2)(Gaussian(mean, variance))
    assert pooled.mean.tolist() == [[[[5.0, 2.5]]]]
    assert pooled.variance.flatten().tolist() == pytest.approx([0, 2e-8])
    pooled.mean.sum().backward()
    assert mean.grad.flatten().tolist() == [0, 1, 0, 1, 0, 0, 0, 0]


def test_pooling_chooses_each_with_the_probability_of_being_the_largest():
    torch.manual_seed(0)
    n = 10**5
    mean, variance = torch.tensor([0.2, -0.1, -50.0, -50.0]), torch.tensor([0.5, 2.0, 1.0, 1.0])
    windows = Gaussian(*(t.view(1, 1, 2, 2).expand(n, 1, 2, 2) for t in (mean, variance)))
    pooled = StochasticMaxPool2d(2)(windows)
    first = pooled.mean.flatten() == mean[0]
    assert torch.equal(first, pooled.variance.flatten() == variance[0])  # mean and variance of the same value
    assert set(pooled.mean.flatten().tolist()) == set(mean[:2].tolist())
    p = norm.cdf(0.3 / math.sqrt(2.5))
    assert abs(first.double().mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("window", [(2,), (3, 2), (3, 2, 1), (3, 1, 1)])  # size, stride, padding
def test_pooling_of_many_channels_keeps_them_apart(window):
    torch.manual_seed(0)
    mean = torch.randn(3, 5, 6, 4)
    pooled = StochasticMaxPool2d(*window)(Gaussian(1000 * mean, mean.square()))  # so far apart that no draw decides
    expected = F.max_pool2d(1000 * mean, *window)
    assert torch.equal(pooled.mean, expected)
    torch.testing.assert_close(pooled.variance, expected.square() / 1e6)


@pytest.mark.parametrize("mean", [-1.2, -1.0, -1e-3, 0.0, 0.4, 1.1])
@pytest.mark.parametrize("variance", [0.01, 1.0, 9.0])
def test_probability_of_plus_one(mean, variance):
    x = Gaussian(*torch.tensor([mean, variance - VARIANCE_FLOOR], dtype=torch.float64))
    z = mean / math.sqrt(variance)
    assert expected_sign(x).item() == pytest.approx(2 * norm.cdf(z) - 1, rel=1e-9, abs=1e-15)
    assert log_odds(x).item() == pytest.approx(norm.logcdf(z) - norm.logsf(z), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("binarize", [expected_sign, lambda x: torch.tanh(log_odds(x) / 2), log_odds])
def test_a_sign_that_is_certain_has_no_nan(binarize, dtype):
    """tanh of half the log odds is 2p − 1: what the mean of the sign is, and what the concrete draw is made from."""
    mean = torch.tensor([-1e6, -30.0, -1e-3, 0.0, 1e-3, 30.0, 1e6], dtype=dtype).requires_grad_()
    variance = torch.zeros(7, dtype=dtype).requires_grad_()
    y = binarize(Gaussian(mean, variance))
    y.sum().backward()
    assert all(t.isfinite().all() for t in (y, mean.grad, variance.grad))
    assert y.sign().tolist() == [-1, -1, -1, 0, 1, 1, 1]
    assert mean.grad[3].item() == pytest.approx(
        {True: 2, False: 4}[binarize is not log_odds] / math.sqrt(2 * math.pi * VARIANCE_FLOOR), rel=1e-6
    )  # on the threshold there is a slope: 2φ(0)/s of 2p − 1, and twice that of the log odds
    if binarize is not log_odds:
        assert y[[0, 1, 5, 6]].tolist() == [-1, -1, 1, 1]
        assert mean.grad[[0, 1, 5, 6]].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("p", [1e-4, 0.2, 0.5, 0.9, 0.999])
def test_hard_concrete_draws_plus_one_with_probability_p(p, temperature):
    torch.manual_seed(0)
    n = 10**5
    drawn = hard_concrete(torch.full((n,), math.log(p / (1 - p))), temperature)
    assert set(drawn.tolist()) <= {-1, 1}
    assert abs((drawn > 0).double().mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_hard_concrete_has_the_gradient_of_the_relaxed_form(temperature):
    odds = torch.linspace(-4, 4, 9, dtype=torch.float64).requires_grad_()
    upstream = torch.arange(1, 10).double()
    torch.manual_seed(5)
    hard_concrete(odds, temperature).backward(upstream)
    torch.manual_seed(5)
    uniform = torch.rand(9, dtype=torch.float64)
    for i, (value, u, g) in enumerate(zip(odds.tolist(), uniform.tolist(), upstream.tolist(), strict=True)):

        def scalar(x, u=u):
            y = 1 / (1 + math.exp(-(x + math.log(u / (1 - u))) / temperature))  # the concrete variable on (0, 1)
            return 2 * y - 1

        difference = (scalar(value + 1e-5) - scalar(value - 1e-5)) / 2e-5
        assert odds.grad[i].item() == pytest.approx(g * difference, rel=1e-6)
        relaxed = relaxed_concrete(odds.detach()[i], uniform[i], temperature)
        assert relaxed.item() == pytest.approx(scalar(value), rel=1e-12)


def test_a_uniform_draw_of_zero_gives_minus_one_and_no_nan():
    odds = torch.tensor([-3.0, 0.0, 50.0]).requires_grad_()
    relaxed = relaxed_concrete(odds, torch.zeros(3), 1.0)
    relaxed.sum().backward()
    assert relaxed.tolist() == [-1, -1, -1]
    assert odds.grad.tolist() == [0, 0, 0]


def test_activation_of_a_distribution_and_of_a_tensor():
    torch.manual_seed(0)
    x = Gaussian(torch.randn(50), torch.rand(50))
    passed_on, drawn = (
        BinaryActivation(sampling=False, temperature=1.0),
        BinaryActivation(sampling=True, temperature=1.0),
    )
    assert torch.equal(passed_on(x), expected_sign(x))
    torch.manual_seed(1)
    signs = drawn(x)
    torch.manual_seed(1)
    assert torch.equal(signs, hard_concrete(log_odds(x), 1.0))
    for activation in (passed_on, drawn):
        assert torch.equal(activation(x.mean), torch.tanh(x.mean))  # the twin
        activation.eval()
        assert activation(torch.tensor([-0.1, -0.0, 0.0, 2.0])).tolist() == [-1, 1, 1, 1]
