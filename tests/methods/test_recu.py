"""ReCU's forward and gradients against float64 restatements: the clamp's mask, its edge, and both standardizations."""

import math

import numpy as np
import pytest
import torch

from methods.recu import RectifiedClampSign, StandardizedApproxSign


def restated(W: np.ndarray, tau: float) -> tuple[np.ndarray, np.ndarray, float]:
    """W₁, its mask and Q, one layer of filters × weights."""
    W1 = np.zeros_like(W)
    for c, row in enumerate(W):
        n, mean = len(row), sum(row) / len(row)
        variance = sum((w - mean) ** 2 for w in row) / (n - 1)
        W1[c] = [(w - mean) * 2 * math.sqrt(2) / math.sqrt(variance + 1e-5) for w in row]
    Q = -np.abs(W1).mean() * math.log(2 - 2 * tau)
    return W1, np.abs(W1) <= Q, Q


def gradient_to(W: np.ndarray, upstream: np.ndarray) -> np.ndarray:
    """Through the standardization, by central differences of each weight."""
    result, h = np.zeros_like(W), 1e-6
    for place in np.ndindex(W.shape):
        up, down = W.copy(), W.copy()
        up[place] += h
        down[place] -= h
        result[place] = (upstream * (restated(up, 0.9)[0] - restated(down, 0.9)[0]) / (2 * h)).sum()
    return result


@pytest.mark.parametrize("shape", [(4, 12), (4, 3, 2, 2)])
@pytest.mark.parametrize("tau", [0.6, 0.85, 0.99])
def test_weights(tau, shape):
    generator = np.random.default_rng(3)
    W = generator.normal(size=(4, 12)) * np.array([[1.0], [0.1], [3.0], [1e-3]])
    upstream = generator.normal(size=(4, 12))
    latent = torch.tensor(W).view(shape).requires_grad_()
    quantizer = RectifiedClampSign(tau).double()
    quantizer.quantile.fill_(tau)
    quantizer(latent).backward(torch.tensor(upstream).view(shape))
    _, mask, _ = restated(W, tau)
    assert mask.all() == (tau == 0.99)
    expected = gradient_to(W, upstream * mask)
    np.testing.assert_allclose(latent.grad.view(4, 12).numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tau", [0.5, 0.6, 0.85, 0.99, 0.999999])
def test_forward_is_the_sign_of_the_centred_weight_whatever_tau_is(tau):
    W = torch.tensor([[0.5, 1.5, 1.0, 1.0], [-3.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]])  # ties with the mean: +1
    assert RectifiedClampSign(tau)(W).tolist() == [[-1, 1, 1, 1], [-1, 1, 1, 1], [1, 1, 1, 1]]
    drawn = torch.randn(30, 20, 3, 3)
    centred = drawn - drawn.mean((1, 2, 3), keepdim=True)
    assert torch.equal(RectifiedClampSign(tau)(drawn), torch.where(centred >= 0, 1.0, -1.0))


def test_the_share_of_masked_weights_is_that_of_the_quantile():
    """|z| > .96 σ for normally distributed weights at τ = .85: a third; of Laplace weights 2(1 − τ)."""
    torch.manual_seed(0)
    for weights, tau, share in (
        (torch.randn(1, 10**6), 0.85, 0.336),
        (torch.randn(1, 10**6), 0.99, 0.0018),
        (torch.distributions.Laplace(0.0, 1.0).sample((1, 10**6)), 0.85, 0.3),
    ):
        weights.requires_grad_()
        # noise is next to orthogonal to 1 and W, so that mean and variance hand next to nothing on to masked weights
        RectifiedClampSign(tau)(weights).backward(torch.randn_like(weights))
        masked = weights.grad.abs() < 0.02 * weights.grad.abs().median()
        assert masked.double().mean().item() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("shape", [(3, 8), (3, 2, 2, 2)])
def test_activations_in_training_are_standardized_by_example(shape):
    generator = np.random.default_rng(5)
    x = generator.normal(size=(3, 8)) * np.array([[0.2], [1.0], [5.0]]) + np.array([[0.0], [0.5], [-2.0]])
    x[0, 0] = 0.0
    upstream = generator.normal(size=(3, 8))

    def scaled(x):
        return np.array([[v / math.sqrt(np.var(row, ddof=1) + 1e-5) for v in row] for row in x])

    to_scaled = upstream * np.maximum(0, 2 - 2 * np.abs(scaled(x)))
    expected, h = np.zeros_like(x), 1e-6
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += h
        down[place] -= h
        expected[place] = (to_scaled * (scaled(up) - scaled(down)) / (2 * h)).sum()
    given = torch.tensor(x).view(shape).requires_grad_()
    a = StandardizedApproxSign().train()(given)
    a.backward(torch.tensor(upstream).view(shape))
    assert a.view(3, 8).tolist() == np.where(x >= 0, 1, -1).tolist()
    np.testing.assert_allclose(given.grad.view(3, 8).numpy(), expected, rtol=1e-5, atol=1e-8)


def test_activations_in_evaluation_are_signs_of_what_comes():
    x = torch.tensor([[0.0, -0.0, 1e-30, -1e-30, 7.0]])
    assert StandardizedApproxSign().eval()(x).tolist() == [[1, 1, 1, -1, 1]]
    assert StandardizedApproxSign().train()(x).tolist() == [[1, 1, 1, -1, 1]]
