"""Sign functions and pseudo-gradients against scalar restatements, with zeros, ties and odd values."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from methods.binary.sign import (
    Activation,
    ActivationSign,
    ApproxSign,
    Identity,
    Quantizer,
    StochasticActivationSign,
    StochasticWeightSign,
    WeightSign,
    as_signs,
    sign,
    stochastic_sign,
)

ABOVE, BELOW = np.nextafter(np.float32(1), np.float32(2)), np.nextafter(np.float32(1), np.float32(0))
TINY = np.float32(1e-45)  # the smallest denormal
VALUES = [0.0, -0.0, 0.3, -0.3, 1.0, -1.0, ABOVE, -ABOVE, BELOW, -BELOW, TINY, -TINY, 7.5, -7.5, math.inf, -math.inf]
UPSTREAM = [(-1) ** i * (0.5 + i) for i in range(len(VALUES))]


def scalar_sign(x: float) -> float:
    return 1.0 if x >= 0 else -1.0


def scalar_hard_tanh_gradient(x: float, upstream: float) -> float:
    return upstream if -1 <= x <= 1 else 0.0


def scalar_approx_sign_gradient(x: float, upstream: float) -> float:
    """The derivative of 2x + x² on [−1, 0) and of 2x − x² on [0, 1), 0 elsewhere."""
    return upstream * (2 + 2 * x if -1 <= x < 0 else 2 - 2 * x if 0 <= x < 1 else 0.0)


def forward_and_gradient(quantizer: Quantizer, dtype=torch.float32):
    x = torch.tensor(VALUES, dtype=dtype, requires_grad=True)
    y = quantizer(x)
    y.backward(torch.tensor(UPSTREAM, dtype=y.dtype))
    return x.detach(), y.detach(), x.grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_sign_of_every_dtype(dtype):
    x = torch.tensor(VALUES, dtype=dtype)
    result = sign(x)
    assert result.dtype == dtype
    assert result.tolist() == [scalar_sign(v) for v in x.tolist()]


def test_sign_of_zeros_is_plus_one_and_of_nan_minus_one():
    assert sign(torch.tensor([0.0, -0.0, math.nan])).tolist() == [1, 1, -1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_sign_in_another_dtype(dtype):
    result = sign(torch.tensor(VALUES), dtype)
    assert result.dtype == dtype
    assert result.tolist() == [scalar_sign(v) for v in VALUES]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_weight_sign_passes_the_gradient_unmasked(dtype):
    x, w, gradient = forward_and_gradient(WeightSign(), dtype)
    assert w.tolist() == [scalar_sign(v) for v in x.tolist()]
    assert gradient.tolist() == UPSTREAM


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_activation_sign_passes_the_gradient_up_to_one(dtype, training):
    x, a, gradient = forward_and_gradient(ActivationSign().train(training), dtype)
    assert a.tolist() == [scalar_sign(v) for v in x.tolist()]
    assert gradient.tolist() == [scalar_hard_tanh_gradient(v, g) for v, g in zip(x.tolist(), UPSTREAM, strict=True)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_gradient_of_hard_tanh_ends_exactly_at_one(dtype):
    one, far = torch.ones((), dtype=dtype), torch.tensor(math.inf, dtype=dtype)
    above, below = one.nextafter(far), one.nextafter(-far)
    x = torch.stack([below, one, above, -below, -one, -above]).requires_grad_()
    ActivationSign()(x).backward(torch.full((6,), 3, dtype=dtype))
    assert x.grad is not None
    assert x.grad.tolist() == [3, 3, 0, 3, 3, 0]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_approx_sign_has_a_triangle_as_its_gradient(dtype, training):
    x, a, gradient = forward_and_gradient(ApproxSign().train(training), dtype)
    assert a.tolist() == [scalar_sign(v) for v in x.tolist()]
    expected = [scalar_approx_sign_gradient(v, g) for v, g in zip(x.tolist(), UPSTREAM, strict=True)]
    torch.testing.assert_close(gradient, torch.tensor(expected, dtype=dtype))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    "quantizer",
    [WeightSign, ActivationSign, ApproxSign, StochasticWeightSign, StochasticActivationSign],
    ids=lambda q: q.__name__,
)
def test_signs_and_their_gradients_keep_the_memory_format(quantizer, autocast):
    x = torch.randn(4, 3, 5, 2).to(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        y = quantizer()(x)
    assert y.stride() == x.stride()
    y.backward(torch.randn(4, 3, 5, 2).to(y.dtype, memory_format=torch.channels_last))
    assert x.grad is not None
    assert x.grad.stride() == x.stride()


def test_signs_have_no_gradient_of_their_own():
    x = torch.zeros(3, requires_grad=True)
    assert not sign(x).requires_grad
    assert not stochastic_sign(x).requires_grad


def test_a_draw_does_not_depend_on_the_memory_format():
    x = torch.rand(4, 3, 5, 2) - 0.5
    torch.manual_seed(0)
    drawn = stochastic_sign(x)
    torch.manual_seed(0)
    assert torch.equal(stochastic_sign(x.to(memory_format=torch.channels_last)), drawn)


def test_stochastic_gradients_do_not_depend_on_the_draw():
    _, w, gradient = forward_and_gradient(StochasticWeightSign())
    assert set(w.tolist()) == {-1, 1}
    assert gradient.tolist() == UPSTREAM
    x, a, gradient = forward_and_gradient(StochasticActivationSign())
    assert set(a.tolist()) == {-1, 1}
    assert gradient.tolist() == [scalar_hard_tanh_gradient(v, g) for v, g in zip(x.tolist(), UPSTREAM, strict=True)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("draw", [stochastic_sign, StochasticWeightSign(), StochasticActivationSign()])
@pytest.mark.parametrize("x", [-5.0, -1.0, -0.96875, -0.5, 0.0, 0.25, 0.96875, 1.0, 5.0])  # exact in bfloat16 too
def test_stochastic_sign_draws_plus_one_with_the_stated_probability(draw, x, dtype):
    torch.manual_seed(1)
    n, p = 10**5, min(max((x + 1) / 2, 0), 1)
    drawn = draw(torch.full((n,), x, dtype=dtype))
    assert drawn.dtype == dtype
    assert set(drawn.tolist()) <= {-1, 1}
    share = (drawn > 0).double().mean().item()
    assert abs(share - p) <= 4 * math.sqrt(p * (1 - p) / n)  # at p = 0 and p = 1: no draw at all may differ


def test_stochastic_sign_draws_each_element_anew():
    torch.manual_seed(0)
    zeros = torch.zeros(1000)
    assert not torch.equal(stochastic_sign(zeros), stochastic_sign(zeros))
    assert torch.stack([stochastic_sign(zeros) for _ in range(2)]).mean(0).unique().numel() == 3


@pytest.mark.parametrize(
    ("quantizer", "expected"),
    [
        (WeightSign(), scalar_sign),
        (ActivationSign(), scalar_sign),
        (StochasticActivationSign(), scalar_sign),
        (StochasticWeightSign(), lambda x: x),  # BinaryConnect's third method evaluates with the real weights
        (Identity(), lambda x: x),
        (Activation(nn.ReLU()), lambda x: max(x, 0.0)),
        (Activation(nn.Hardtanh()), lambda x: min(max(x, -1.0), 1.0)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_evaluation(quantizer, expected):
    quantizer.eval()
    x = torch.tensor(VALUES)
    assert quantizer(x).tolist() == [expected(v) for v in x.tolist()]
    says_binary = quantizer.binary
    assert says_binary == (set(quantizer(x).tolist()) <= {-1, 1})


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("quantizer", [WeightSign, ActivationSign, StochasticActivationSign])
def test_under_autocast_a_sign_goes_straight_to_bfloat16(quantizer, training):
    x = torch.tensor(VALUES, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = quantizer().train(training)(x)
    assert y.dtype == torch.bfloat16
    assert set(y.tolist()) == {-1, 1}
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


@pytest.mark.parametrize("training", [True, False])
def test_as_signs_makes_everything_a_plain_sign_and_restores_it(training):
    net = nn.Sequential(
        Identity(), Activation(nn.ReLU()), StochasticWeightSign(), StochasticActivationSign(), WeightSign()
    ).train(training)
    x = torch.tensor(VALUES)
    with as_signs(net):
        for quantizer in net:
            assert quantizer(x).tolist() == [scalar_sign(v) for v in VALUES]
    assert net[0](x).tolist() == x.tolist()
    assert net[1](x).tolist() == [max(v, 0.0) for v in x.tolist()]


def test_as_signs_restores_after_an_error():
    net = nn.Sequential(Identity())
    with pytest.raises(KeyError), as_signs(net):
        raise KeyError
    assert net(torch.tensor([0.3])).item() == pytest.approx(0.3)
