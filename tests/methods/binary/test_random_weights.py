"""Drawn weights: how often they are +1, what evaluation gives, and the gradients that reach what is trained."""

import math

import numpy as np
import pytest
import torch

from methods.binary.random_weights import Coin, ConcreteSign

DRAWS = 100_000


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("p", [0.0, 1e-3, 0.3, 0.5, 1.0])
def test_coin_shows_plus_one_with_its_probability(p, training):
    torch.manual_seed(0)
    coin = Coin().train(training)
    coin.drawing = not training
    drawn = coin(torch.full((DRAWS,), p))
    assert set(drawn.tolist()) <= {-1.0, 1.0}
    assert abs((drawn > 0).double().mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / DRAWS)


@pytest.mark.parametrize(
    ("quantizer", "x", "expected"),
    [
        (Coin(), [0.0, 0.4999, 0.5, 1.0], [-1, -1, 1, 1]),
        (ConcreteSign(0.5, 1e-10), [-20.0, -1e-3, -0.0, 0.0, 3.0], [-1, -1, 1, 1, 1]),
    ],
)
def test_evaluation_gives_the_likelier_sign_and_plus_one_at_a_tie(quantizer, x, expected):
    assert quantizer.eval()(torch.tensor(x)).tolist() == expected


def test_coin_passes_the_gradient_unchanged():
    p = torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
    (Coin()(p) * torch.tensor([2.0, -3.0, 5.0])).sum().backward()
    assert p.grad.tolist() == [2.0, -3.0, 5.0]


@pytest.mark.parametrize("temperature", [1e-10, 0.3, 1.0])
@pytest.mark.parametrize("natural", [-20.0, -0.7, 0.0, 1.5])
def test_signs_of_concrete_draws_have_the_mean_tanh(natural, temperature):
    torch.manual_seed(1)
    drawn = ConcreteSign(temperature, 1e-10)(torch.full((DRAWS,), natural))
    assert drawn.isfinite().all()
    assert drawn.abs().max() <= 1
    p = (1 + math.tanh(natural)) / 2
    assert abs((drawn > 0).double().mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / DRAWS) + 1e-12


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1e-10])
def test_concrete_draw_and_its_gradient_by_hand(temperature):
    eps, natural = 1e-10, np.array([-30.0, -2.0, 0.0, 0.5, 12.0])
    x = torch.tensor(natural, requires_grad=True)  # float64
    torch.manual_seed(2)
    weight = ConcreteSign(temperature, eps)(x)
    assert weight.dtype == torch.float32
    torch.manual_seed(2)
    u = torch.rand(5, dtype=torch.float64).numpy()
    expected = np.tanh((natural + 0.5 * np.log(u / (1 - u))) / temperature)
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-5, atol=1e-6)

    upstream = torch.tensor([1.0, -2.0, 3.0, 4.0, 5.0])
    weight.backward(upstream)
    factor = (1 - expected**2 + eps) / (temperature * (1 - np.tanh(natural) ** 2 + eps))
    np.testing.assert_allclose(x.grad.numpy(), factor * upstream.numpy(), rtol=1e-5)
    assert x.grad.isfinite().all()
