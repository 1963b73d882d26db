"""AP2 against exact rational arithmetic; shift-based batch norm against scalar loops in float64."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from methods.binary.shift import ShiftBatchNorm1d, ShiftBatchNorm2d, ap2, ap2_scalar, round_exponent_

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def scalar_ap2(x: float) -> float:
    """By rationals: 2^k with 2^(2k−1) < x² < 2^(2k+1)."""
    if x == 0:
        return x
    square, k = Fraction(x) ** 2, math.frexp(x)[1]
    while square < Fraction(2) ** (2 * k - 1):
        k -= 1
    return math.copysign(float(Fraction(2) ** k), x)


def numbers(dtype):
    """Numbers of every exponent of the dtype, and for each the two neighbours of √2·2^k; both signs."""
    info = torch.finfo(dtype)
    low, high = (math.frexp(v)[1] - 1 for v in (info.smallest_normal * info.eps, info.max))
    exponents = torch.arange(low, high + 1, dtype=torch.float64)
    rng = torch.Generator().manual_seed(0)
    draws = 2 ** (exponents + torch.rand(3, len(exponents), generator=rng, dtype=torch.float64))
    boundary = (math.sqrt(2) * 2 ** exponents[:-1]).to(dtype)
    around = [torch.nextafter(boundary, b) for b in (torch.zeros_like(boundary), torch.full_like(boundary, math.inf))]
    x = torch.cat([draws.flatten().to(dtype), boundary, *around])
    x = x[x.double() / 2 < math.sqrt(2) * 2.0 ** (high - 1)]  # above it, AP2 is infinite
    return torch.cat([x, -x])


@pytest.mark.parametrize("dtype", DTYPES)
def test_ap2_is_the_nearest_exponent(dtype):
    x = numbers(dtype)
    assert (x.abs() < torch.finfo(dtype).tiny).sum() > 30  # subnormal
    result = ap2(x)
    assert result.dtype == dtype
    assert result.tolist() == [scalar_ap2(v) for v in x.tolist()]


def test_ap2_rounds_up_from_the_square_root_of_two():
    low, high = np.nextafter(np.float32(math.sqrt(2)), np.float32([0, 2]))
    assert low**2 < 2 < high**2
    values = [low, high, 1.0, 1.5, 2.0, 2.8, 2.9, 3.0, -0.7, -0.71]
    assert ap2(torch.tensor(values)).tolist() == [1, 2, 1, 2, 2, 2, 4, 4, -0.5, -0.5 * 2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_ap2_of_what_is_no_ordinary_number(dtype):
    largest = torch.finfo(dtype).max
    x = torch.tensor([0.0, -0.0, math.inf, -math.inf, largest, -largest], dtype=dtype)
    assert str(ap2(x).tolist()) == "[0.0, -0.0, inf, -inf, inf, -inf]"
    nan = torch.tensor([math.nan, -math.nan], dtype=dtype)
    assert ap2(nan).isnan().all()


def test_ap2_has_no_gradient_and_takes_any_layout():
    x = torch.randn(4, 6, requires_grad=True)
    assert not ap2(x).requires_grad
    assert torch.equal(ap2(x.t()[::2]), ap2(x).t()[::2])
    with pytest.raises(TypeError, match=r"float32.*int64"):
        ap2(torch.arange(3))


def test_a_product_with_ap2_is_a_shift_bit_for_bit():
    rng = np.random.default_rng(0)
    x, y = (np.float32(rng.normal(size=10**5) * 2.0 ** rng.integers(-75, 60, 10**5)) for _ in range(2))
    shifted = np.ldexp(x, np.rint(np.log2(np.abs(y.astype(np.float64)))).astype(int)) * np.sign(y)
    product = (torch.from_numpy(x) * ap2(torch.from_numpy(y))).numpy()
    assert np.array_equal(product.view(np.int32), shifted.view(np.int32))
    assert (np.abs(product) < np.finfo(np.float32).tiny).sum() > 50  # where a shift loses bits, both lose them alike


def test_scalar_and_in_place_forms():
    x = numbers(torch.float64)
    assert [ap2_scalar(v) for v in x.tolist()] == ap2(x).tolist()
    assert (ap2_scalar(0.0), ap2_scalar(0.01), ap2_scalar(-3)) == (0.0, 2**-7, -4.0)
    normal = numbers(torch.float32)
    normal = normal[normal.abs() >= torch.finfo(torch.float32).tiny]
    expected = ap2(normal)
    assert round_exponent_(normal) is normal
    assert torch.equal(normal, expected)


# shift-based batch norm


def scalar_batch_norm(x, gamma, beta, upstream, eps):
    """One feature in float64, with plain loops: y, gradients of x, γ, β, and (mean, var) of the batch."""
    m = len(x)
    mean = sum(x) / m
    c = [v - mean for v in x]
    var = sum(v * scalar_ap2(v) for v in c) / m
    istd, g_scale = scalar_ap2(1 / math.sqrt(var + eps)), scalar_ap2(gamma)
    y = [g_scale * v * istd + beta for v in c]
    mean_g = sum(upstream) / m
    mean_gc = sum(g * scalar_ap2(v) for g, v in zip(upstream, c, strict=True)) / m
    g_x = [g_scale * istd * (g - mean_g - scalar_ap2(v) * istd**2 * mean_gc) for g, v in zip(upstream, c, strict=True)]
    return y, g_x, m * mean_gc * istd, m * mean_g, (mean, var)


GAMMA = [1.0, -0.3, 3.0, 0.0, 1.4]
BETA = [0.0, 0.7, -2.0, 0.25, 0.1]


def batch(shape, seed=0):
    """Features of very different scale, one of them constant, with values that meet the mean exactly."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = (x * 8).round() / 8  # so that some centred values are 0
    x *= torch.tensor([1.0, 1e-4, 300.0, 2.0, 1.0], dtype=torch.float64).view(-1, *[1] * (len(shape) - 2))
    x[0, 0] = x[:, 0].mean()
    x[:, 4] = 5.0
    return x


def layer(shape, **options):
    norm = (ShiftBatchNorm2d if len(shape) == 4 else ShiftBatchNorm1d)(5, **options)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(GAMMA))
        norm.bias.copy_(torch.tensor(BETA))
    return norm


def features(x):
    """(batch, features, …) as one list of values a feature."""
    return x.detach().double().transpose(0, 1).flatten(1).tolist()


@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 4), (2, 5, 3, 3)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_training_pass_is_that_of_the_formula(shape, dtype, tolerance):
    norm = layer(shape, eps=1e-3).to(dtype)
    x = batch(shape).to(dtype).requires_grad_()
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    y = norm(x)
    y.backward(upstream)
    assert (y.dtype, y.shape) == (dtype, x.shape)
    got = zip(features(y), features(x.grad), norm.weight.grad.tolist(), norm.bias.grad.tolist(), strict=True)
    for i, (values, feature) in enumerate(zip(features(x), got, strict=True)):
        gamma, beta = norm.weight[i].item(), norm.bias[i].item()
        expected = scalar_batch_norm(values, gamma, beta, features(upstream)[i], 1e-3)
        for a, b in zip(feature, expected[:4], strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max()))
    assert y[:, 3].eq(BETA[3]).all()  # γ = 0: AP2(γ) = 0
    assert x.grad[:, 3].eq(0).all()
    assert y[:, 4].eq(norm.bias[4]).all()  # a constant feature


@pytest.mark.parametrize("statistic", ["inverse_std", "variance"])
@pytest.mark.parametrize("shape", [(6, 5), (2, 5, 3, 3)])
def test_running_statistics_and_evaluation(shape, statistic):
    norm = layer(shape, momentum=0.25, statistic=statistic).double()
    mean = [0.0] * 5
    spread = [0.0 if statistic == "inverse_std" else 1.0] * 5
    for seed in range(7):
        x = batch(shape, seed)
        norm(x)
        for i, values in enumerate(features(x)):
            batch_mean, var = scalar_batch_norm(values, 1.0, 0.0, values, 1e-5)[4]
            new = 1 / math.sqrt(var + 1e-5) if statistic == "inverse_std" else var
            mean[i] = 0.75 * mean[i] + 0.25 * batch_mean
            spread[i] = 0.75 * spread[i] + 0.25 * new
    running = norm.running_inverse_std if statistic == "inverse_std" else norm.running_var
    np.testing.assert_allclose(norm.running_mean.tolist(), mean, rtol=1e-12)
    np.testing.assert_allclose(running.tolist(), spread, rtol=1e-12)

    norm.eval()
    x = batch(shape, 99).requires_grad_()
    y = norm(x)
    upstream = torch.randn(shape, dtype=torch.float64)
    y.backward(upstream)
    assert running.tolist() == pytest.approx(spread)  # evaluation moves nothing
    for i, (values, got) in enumerate(zip(features(x), features(y), strict=True)):
        istd = scalar_ap2(spread[i] if statistic == "inverse_std" else 1 / math.sqrt(spread[i] + 1e-5))
        scale = istd * scalar_ap2(norm.weight[i].item())
        assert got == pytest.approx([(v - mean[i]) * scale + norm.bias[i].item() for v in values], rel=1e-12)
        g = features(upstream)[i]
        assert features(x.grad)[i] == pytest.approx([scale * u for u in g], rel=1e-12)
        assert norm.weight.grad[i].item() == pytest.approx(
            sum(u * (v - mean[i]) * istd for u, v in zip(g, values, strict=True)), rel=1e-9
        )
        assert norm.bias.grad[i].item() == pytest.approx(sum(g), rel=1e-9)


def test_it_stands_in_for_batch_norm():
    ours, theirs = ShiftBatchNorm2d(5, 1e-5, 0.1), nn.BatchNorm2d(5, 1e-5, 0.1)
    assert (ShiftBatchNorm1d(5).eps, ShiftBatchNorm1d(5).momentum) == (theirs.eps, theirs.momentum)
    for name in ("weight", "bias", "running_mean"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    assert set(ours.state_dict()) == {"weight", "bias", "running_mean", "running_inverse_std"}
    assert set(ShiftBatchNorm1d(5, statistic="variance").state_dict()) == {
        "weight",
        "bias",
        "running_mean",
        "running_var",
    }
    # Normal data: E[c·AP2(c)] is within 2 % of the variance, so the result is ordinary batch norm's but for AP2's ≤ √2.
    x = 3 * torch.randn(64, 5, 8, 8, generator=torch.Generator().manual_seed(0)) + 1
    ratio = ours(x) / theirs(x)
    assert 1 / math.sqrt(2) < ratio.min() < ratio.max() < math.sqrt(2)
    assert ShiftBatchNorm2d(5).eval()(x).eq(0).all()  # untrained: β


@pytest.mark.parametrize("training", [True, False])
def test_statistics_are_float32_under_autocast(training):
    norm, other = (layer((64, 5)).train(training) for _ in range(2))
    x = (torch.randn(64, 5, generator=torch.Generator().manual_seed(0)) + 30).bfloat16().requires_grad_()
    wide = x.detach().float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = norm(x)
    expected = other(wide)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, expected.bfloat16())
    assert norm.running_mean.dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), other.buffers(), strict=True))
    upstream = torch.randn(64, 5).bfloat16()
    y.backward(upstream)
    expected.backward(upstream.float())
    assert x.grad.dtype == torch.bfloat16
    assert torch.equal(x.grad, wide.grad.bfloat16())
    assert torch.equal(norm.weight.grad, other.weight.grad)


def test_what_it_does_not_take():
    with pytest.raises(ValueError, match=r"inverse_std.*'std'"):
        ShiftBatchNorm1d(5, statistic="std")
    for norm, shape in (
        (ShiftBatchNorm1d(5), (2, 5, 3, 3)),
        (ShiftBatchNorm2d(5), (2, 5)),
        (ShiftBatchNorm1d(5), (2, 4)),
    ):
        with pytest.raises(ValueError, match=r"expected .* axes, the second of 5"):
            norm(torch.zeros(shape))
    with pytest.raises(ValueError, match="more than one value per feature"):
        ShiftBatchNorm1d(5)(torch.zeros(1, 5))
    assert ShiftBatchNorm1d(5).eval()(torch.zeros(1, 5)).shape == (1, 5)


@pytest.mark.slow
def test_compiled_training_pass_equals_the_eager_one():
    shape = (4, 5, 6, 6)
    eager, compiled = layer(shape), layer(shape)
    fast = torch.compile(compiled, dynamic=False)
    for seed in range(3):
        x = batch(shape, seed).float()
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        upstream = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        y, z = eager(a), fast(b)
        y.backward(upstream)
        z.backward(upstream)
        torch.testing.assert_close(z, y)
        torch.testing.assert_close(b.grad, a.grad)
    for p, q in zip(eager.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad)
    torch.testing.assert_close(list(compiled.buffers()), list(eager.buffers()))
