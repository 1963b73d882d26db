"""IR-Net's forward and gradients against scalar float64, with the regimes t < 1 and t > 1, ties and edges."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from methods.irnet import ErrorDecaySign, StandardizedSign, error_decay_slope

X = [0.0, -0.0, 1e-3, -0.3, 0.5, -1.0, 1.0, 2.5, -40.0, 1e4]


def restated_slope(x: float, t: float) -> float:
    k = max(1 / t, 1.0)
    return k * t * (1 - math.tanh(t * x) ** 2)


@pytest.mark.parametrize("t", [1e-3, 0.1, 0.999, 1.0, 3.0, 10.0])
def test_activations(t):
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    upstream = torch.arange(1, len(X) + 1, dtype=torch.float64)
    quantizer = ErrorDecaySign(t).double()
    a = quantizer(x)
    a.backward(upstream)
    assert a.tolist() == [1.0 if v >= 0 else -1.0 for v in X]
    held = quantizer.steepness.item()
    expected = [g * restated_slope(v, held) * (abs(v) <= 1) for v, g in zip(X, upstream.tolist(), strict=True)]
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-9, atol=1e-14)


def test_a_hard_tanh_before_it_changes_nothing():
    x = torch.tensor([v for v in X if abs(v) != 1], dtype=torch.float64)  # where torch's hard tanh has a derivative
    gradients = []
    for before in (torch.nn.Identity(), torch.nn.Hardtanh()):
        own = x.clone().requires_grad_()
        ErrorDecaySign(0.1).double()(before(own)).sum().backward()
        gradients.append(own.grad)
    assert torch.equal(*gradients)
    assert gradients[0].count_nonzero() == 5


def test_the_height_is_one_while_t_is_below_one_and_then_t():
    for t in (1e-3, 0.01, 0.5, 1.0):
        assert error_decay_slope(torch.zeros(1, dtype=torch.float64), torch.tensor(t, dtype=torch.float64)).item() == 1
    assert error_decay_slope(torch.zeros(1, dtype=torch.float64), torch.tensor(7.0, dtype=torch.float64)).item() == 7
    # nearly the identity at the start, beyond ±1 too: the mask is the hard tanh's
    at = error_decay_slope(torch.tensor([1.0, 5.0], dtype=torch.float64), torch.tensor(1e-3, dtype=torch.float64))
    assert at.min() > 0.9999


WEIGHTS = np.array([[0.3, -0.1, 0.0, 0.2], [1.0, 1.0, -1.0, -1.0], [5.0, 5.5, 4.0, 6.0]])  # means .1, 0, 5.125


def standardized(W: np.ndarray) -> np.ndarray:
    centred = W - W.mean(1, keepdims=True)
    return centred / centred.std(1, ddof=1, keepdims=True)


@pytest.mark.parametrize("shape", [(3, 4), (3, 1, 2, 2)])
@pytest.mark.parametrize("t", [0.1, 4.0])
def test_weights(t, shape):
    W = torch.tensor(WEIGHTS).view(shape).requires_grad_()
    quantizer = StandardizedSign(t).double()
    quantizer.steepness.fill_(t)
    upstream = np.arange(1.0, 13).reshape(3, 4) * np.array([1, -1, 1, 1])
    w = quantizer(W)
    w.backward(torch.tensor(upstream).view(shape))
    Z = standardized(WEIGHTS)
    assert w.view(3, 4).tolist() == np.where(WEIGHTS - WEIGHTS.mean(1, keepdims=True) >= 0, 1, -1).tolist()
    to_standardized = upstream * np.vectorize(restated_slope)(Z, t)
    # the vector-Jacobian product of the standardization, by central differences of each weight
    expected, h = np.zeros_like(WEIGHTS), 1e-6
    for place in np.ndindex(WEIGHTS.shape):
        up, down = WEIGHTS.copy(), WEIGHTS.copy()
        up[place] += h
        down[place] -= h
        expected[place] = (to_standardized * (standardized(up) - standardized(down)) / (2 * h)).sum()
    np.testing.assert_allclose(W.grad.view(3, 4).numpy(), expected, rtol=1e-5, atol=1e-7)


def test_a_filter_of_equal_weights_has_a_finite_gradient():
    W = torch.tensor([[0.5, 0.5], [0.25, -1.0]], requires_grad=True)
    w = StandardizedSign(10.0)(W)
    w.backward(torch.tensor([[1.0, 3.0], [1.0, 2.0]]))
    assert w.tolist() == [[1, 1], [1, -1]]
    slope = restated_slope(0.0, 10.0)
    assert W.grad[0].tolist() == pytest.approx([slope * (1 - 2), slope * (3 - 2)])  # less their mean
    assert W.grad[1].isfinite().all()


def test_the_standardization_is_differentiated():
    W = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)

    def smooth(W):
        centred = W - W.mean(1, keepdim=True)
        return (centred / centred.std(1, keepdim=True) * 2).tanh() * 1.0

    assert gradcheck(smooth, W)
    quantizer = StandardizedSign(2.0).double()
    upstream = torch.randn(2, 5, dtype=torch.float64)
    (ours,) = torch.autograd.grad(quantizer(W), W, upstream)
    (theirs,) = torch.autograd.grad(smooth(W), W, upstream)
    torch.testing.assert_close(ours, theirs)  # k = 1 at t = 2


def test_positions_are_centred_by_their_own_filter():
    W = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    quantizer, index = StandardizedSign(1.0), torch.randint(48, (30,))
    assert torch.equal(quantizer.mean_at(W, index), quantizer.mean(W).take(index))
