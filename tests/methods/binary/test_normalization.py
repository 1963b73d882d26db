"""Batch norm with other running statistics against its formulas, and layer norm over channels."""

import numpy as np
import pytest
import torch
from torch import nn

from methods.binary.layers import Parts
from methods.binary.norm_statistics import reestimate
from methods.binary.normalization import ChannelNorm, NormError, NormSettings, RunningBatchNorm1d, RunningBatchNorm2d
from methods.binary.sign import ActivationSign, WeightSign

SHAPES = [(RunningBatchNorm1d, (12, 5)), (RunningBatchNorm2d, (6, 5, 3, 2))]
EPS, FACTOR = 0.25, 0.125


def batches(shape, count=4):
    rng = np.random.default_rng(1)
    return [rng.normal(2, rng.uniform(0.2, 4), size=shape) for _ in range(count)]


def per_feature(x):
    """The values of each feature, (features, …)."""
    return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)


def spread(values, x):
    return np.reshape(values, (1, -1, *[1] * (x.ndim - 2)))


@pytest.mark.parametrize("running", ["std", "inverse_std"])
@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_training_and_evaluation_follow_the_theano_codes(kind, shape, running):
    norm = kind(5, EPS, FACTOR, running=running).double()
    gamma, beta = np.linspace(-1, 2, 5), np.linspace(3, -3, 5)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(gamma))
        norm.bias.copy_(torch.tensor(beta))
    mean = np.zeros(5)
    statistic = np.full(5, np.sqrt(1 + EPS) - EPS if running == "std" else 1 / np.sqrt(1 + EPS))
    for x in batches(shape):
        mu, variance = per_feature(x).mean(1), per_feature(x).var(1)
        divisor = np.sqrt(variance) + EPS if running == "std" else np.sqrt(variance + EPS)
        expected = spread(gamma / divisor, x) * (x - spread(mu, x)) + spread(beta, x)
        np.testing.assert_allclose(norm(torch.tensor(x)).detach().numpy(), expected, rtol=1e-10)
        mean += FACTOR * (mu - mean)
        statistic += FACTOR * ((np.sqrt(variance) if running == "std" else 1 / divisor) - statistic)
    norm.eval()
    x = batches(shape)[0]
    scale = gamma / (statistic + EPS) if running == "std" else gamma * statistic
    expected = spread(scale, x) * (x - spread(mean, x)) + spread(beta, x)
    np.testing.assert_allclose(norm(torch.tensor(x)).detach().numpy(), expected, rtol=1e-10)
    assert (statistic > 0).all()


@pytest.mark.parametrize("running", ["std", "inverse_std"])
@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_gradients_are_those_of_the_formula(kind, shape, running):
    norm = kind(5, EPS, FACTOR, running=running).double()
    x = torch.tensor(batches(shape)[0], requires_grad=True)
    assert torch.autograd.gradcheck(norm, (x,))


def test_a_constant_feature_has_finite_gradients():
    norm = RunningBatchNorm1d(2, 1e-4, running="std")
    x = torch.ones(4, 2, requires_grad=True)
    norm(x).sum().backward()
    assert torch.equal(norm(x), torch.zeros(4, 2))
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("running", ["std", "inverse_std"])
def test_statistics_measured_anew_are_plain_averages(running):
    norm = RunningBatchNorm1d(5, EPS, FACTOR, running=running).double()
    data = batches((12, 5))
    norm(torch.tensor(data[0]) * 9)
    reestimate(nn.Sequential(norm), [torch.tensor(x) for x in data])
    variances = np.array([x.var(0) for x in data])
    mean_inverse = (1 / np.sqrt(variances + EPS)).mean(0)
    divisor = np.sqrt(variances).mean(0) + EPS if running == "std" else 1 / mean_inverse
    np.testing.assert_allclose(np.sqrt(norm.running_var.numpy() + EPS), divisor, rtol=1e-7)
    np.testing.assert_allclose(norm.running_mean.numpy(), np.mean([x.mean(0) for x in data], 0), rtol=1e-7)
    assert norm.momentum == FACTOR


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3, 2)])
def test_layer_norm_is_over_the_channels_of_each_place(shape):
    norm = ChannelNorm(6, EPS)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(1, 2, 6))
        norm.bias.copy_(torch.linspace(-1, 1, 6))
    x = batches(shape)[0]
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + EPS)
    expected = expected * spread(np.linspace(1, 2, 6), x) + spread(np.linspace(-1, 1, 6), x)
    np.testing.assert_allclose(norm(torch.tensor(x).float()).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_what_a_net_asks_for_takes_the_place_of_ordinary_batch_norm_only():
    parts = Parts(WeightSign, ActivationSign)
    assert type(parts.norm1d("hidden", 3, NormSettings(running="std"))) is RunningBatchNorm1d
    assert parts.norm2d("hidden", 3, NormSettings(running="std")).running == "std"
    assert type(parts.norm2d("first", 3, NormSettings("layer"))) is ChannelNorm
    other = Parts(WeightSign, ActivationSign, norm1d_type=nn.SyncBatchNorm)
    for asked in (NormSettings("layer"), NormSettings(running="inverse_std")):
        with pytest.raises(NormError, match="ordinary batch norm only"):
            other.norm1d("hidden", 3, asked)
