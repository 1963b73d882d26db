"""SignSwish against its formula in float64, and its slope against finite differences, where cosh overflows too."""

import math

import numpy as np
import pytest
import torch

from methods.binary.swish import SwishSign, sign_swish, sign_swish_slope


def by_hand(x: float, beta: float) -> float:
    s = 1 / (1 + math.exp(-beta * x))
    return 2 * s * (1 + beta * x * (1 - s)) - 1


@pytest.mark.parametrize("beta", [0.5, 1.0, 5.0])
def test_sign_swish(beta):
    x = np.linspace(-4, 4, 81)
    expected = [by_hand(value, beta) for value in x]
    np.testing.assert_allclose(sign_swish(torch.tensor(x), beta).numpy(), expected, atol=1e-14)
    assert sign_swish(torch.zeros(1), beta).item() == 0


@pytest.mark.parametrize("beta", [0.5, 1.0, 5.0])
def test_slope_is_the_derivative_to_x_and_to_beta(beta):
    h = 1e-5
    for x in np.linspace(-4, 4, 81):
        slope = sign_swish_slope(torch.tensor(beta * x, dtype=torch.float64)).item()
        assert beta * slope == pytest.approx((by_hand(x + h, beta) - by_hand(x - h, beta)) / (2 * h), abs=1e-8)
        assert x * slope == pytest.approx((by_hand(x, beta + h) - by_hand(x, beta - h)) / (2 * h), abs=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_slope_where_cosh_overflows(dtype):
    z = torch.tensor([0.0, 88.0, -89.0, 500.0, -1e4, 1e4], dtype=dtype)
    slope = sign_swish_slope(z)
    assert slope.isfinite().all()
    assert slope[0] == 1
    np.testing.assert_allclose(slope[1:].double().numpy(), 0, atol=1e-30)
    z = torch.tensor([30.0], dtype=torch.float64)  # the tail is (2 − z)·2·exp(−z), not 0
    assert sign_swish_slope(z).item() == pytest.approx(-56 * math.exp(-30), rel=1e-9)


@pytest.mark.parametrize("learnable", [True, False])
def test_quantizer_gives_a_sign_and_the_swish_gradient(learnable):
    x = torch.tensor([-1.0, -0.0, 0.0, 0.2, 30.0], requires_grad=True)
    upstream = torch.tensor([1.0, 2.0, -3.0, 4.0, 5.0])
    quantizer = SwishSign(5.0, learnable)
    out = quantizer(x)
    assert out.tolist() == [-1, 1, 1, 1, 1]
    out.backward(upstream)
    slope = np.array([(2 - z * math.tanh(z / 2)) / (1 + math.cosh(z)) for z in 5 * x.detach().double().numpy()])
    np.testing.assert_allclose(x.grad.numpy(), 5 * slope * upstream.numpy(), rtol=1e-5, atol=1e-30)
    if learnable:
        expected = (slope * x.detach().numpy() * upstream.numpy()).sum()
        assert quantizer.beta.grad.item() == pytest.approx(expected, rel=1e-5)
    else:
        assert list(quantizer.parameters()) == []
        assert quantizer.state_dict() == {}
