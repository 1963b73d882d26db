"""Bop2ndOrder against a scalar float64 restatement of its rule, and the relations between its corrections."""

import math

import numpy as np
import pytest
import torch

from methods.optim import Bop2ndOrder


def reference(w, gradients, gamma, sigma, threshold, correction, eps=1e-10):
    """One weight, in float64: all its values, the last m and v, and normalized moment − τ at every step."""
    m = v = 0.0
    values, margins = [], []
    for t, g in enumerate(gradients, start=1):
        m = (1 - gamma) * m + gamma * g
        v = (1 - sigma) * v + sigma * g * g
        if correction == "biased":
            ratio = m / (math.sqrt(v) + eps)
        elif correction == "unbiased":
            ratio = (m / gamma) / (math.sqrt(v / sigma) + eps)
        else:
            ratio = (m / (1 - (1 - gamma) ** t)) / (math.sqrt(v / (1 - (1 - sigma) ** t)) + eps)
        margins.append(w * ratio - threshold)
        w = -w if margins[-1] > 0 else w
        values.append(w)
    return values, m, v, margins


def run(optimizer, p, gradients):
    values = []
    for g in gradients:
        p.grad = torch.tensor(g, dtype=p.dtype).view_as(p)
        optimizer.step()
        values.append(p.detach().flatten().tolist())
    return np.array(values)


def binary(values, dtype=torch.float32):
    return torch.nn.Parameter(torch.tensor(values, dtype=dtype))


def draws(seed, steps, weights):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-6, 2, size=weights)  # the rule does not depend on the gradient's scale
    gradients = scale * rng.normal(size=(steps, weights)) * (rng.random((steps, weights)) > 0.2)
    return gradients.astype(np.float32).astype(np.float64), rng.choice([-1.0, 1.0], size=weights)


@pytest.mark.parametrize(("correction", "threshold"), [("biased", 0.125), ("unbiased", 0.375), ("adam", 0.125)])
def test_flips_and_moments_are_those_of_the_rule(correction, threshold):
    gradients, start = draws(2, 1000, 100)
    gamma, sigma = 2.0**-5, 2.0**-7
    expected = [reference(w, gradients[:, i], gamma, sigma, threshold, correction) for i, w in enumerate(start)]

    p = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32).view(5, 20))
    optimizer = Bop2ndOrder([p], gamma, sigma, threshold, correction)
    values = run(optimizer, p, gradients)

    assert abs(np.array([e[3] for e in expected])).min() > 1e-7  # no decision is finer than float32 resolves
    assert (np.diff(values, axis=0) != 0).sum() > 500
    np.testing.assert_array_equal(values, np.array([e[0] for e in expected]).T)
    scale = abs(gradients).max(axis=0)
    for name, unit, final in (("m", scale, [e[1] for e in expected]), ("v", scale**2, [e[2] for e in expected])):
        state = optimizer.state[p][name].flatten().numpy()
        np.testing.assert_allclose(state / unit, final / unit, rtol=0, atol=1e-6)


@pytest.mark.parametrize("correction", ["biased", "unbiased", "adam"])
def test_exact_ties_keep_the_weight(correction):
    # at γ = σ = 1, m = g and √v = |g|, so that all corrections agree and |m|/(√v + ε) is τ = ½ exactly at |g| = ε
    rng = np.random.default_rng(5)
    eps = 2.0**-3
    gradients = eps * rng.choice([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0], size=(1000, 30))
    start = rng.choice([-1.0, 1.0], size=30)
    expected = [reference(w, gradients[:, i], 1.0, 1.0, 0.5, correction, eps) for i, w in enumerate(start)]
    p = binary(start)
    values = run(Bop2ndOrder([p], 1.0, 1.0, 0.5, correction, eps=eps), p, gradients)
    assert (np.array([e[3] for e in expected]) == 0).sum() > 3000
    assert (np.diff(values, axis=0) != 0).sum() > 1000
    np.testing.assert_array_equal(values, np.array([e[0] for e in expected]).T)


def test_unbiased_is_biased_with_another_threshold():
    gradients, start = draws(7, 300, 500)
    gamma, sigma, threshold = 2.0**-6, 2.0**-8, 0.25
    unbiased, biased, other = binary(start), binary(start), binary(start)
    a = run(Bop2ndOrder([unbiased], gamma, sigma, threshold, "unbiased"), unbiased, gradients)
    b = run(Bop2ndOrder([biased], gamma, sigma, threshold * gamma / math.sqrt(sigma)), biased, gradients)
    c = run(Bop2ndOrder([other], gamma, sigma, threshold), other, gradients)
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_first_step_ratio_is_the_same_for_all_weights():
    # |m|/√v = γ/√σ, here 2: below it every weight that has its gradient's sign flips, from it on none
    for threshold, flipped in ((1.99, True), (2.01, False)):
        p = binary([1.0, 1.0, -1.0, -1.0, 1.0])
        p.grad = torch.tensor([1e-5, -1e-5, 10.0, -10.0, 0.0])
        Bop2ndOrder([p], gamma=0.5, sigma=0.0625, threshold=threshold).step()
        assert p.tolist() == ([-1, 1, -1, 1, 1] if flipped else [1, 1, -1, -1, 1])


def test_adam_correction_makes_the_first_ratio_one():
    for threshold, expected in ((0.999, [-1, -1]), (1.001, [1, -1])):
        p = binary([1.0, -1.0])
        p.grad = torch.tensor([1e-3, 1e-3])
        Bop2ndOrder([p], gamma=1e-4, sigma=1e-2, threshold=threshold, correction="adam").step()
        assert p.tolist() == expected


def test_adam_correction_is_right_under_a_schedule():
    # of a constant gradient every weighted average is that gradient, whatever the rates were: a ratio of one
    p = binary([1.0])
    optimizer = Bop2ndOrder([p], gamma=0.5, sigma=0.5, threshold=2.0, correction="adam")
    group = optimizer.param_groups[0]
    for k in range(20):
        group["gamma"], group["sigma"] = 0.5 / (k + 1), 0.5 / (k + 1) ** 2
        run(optimizer, p, [[3.0]])
    group["threshold"] = 1.001
    run(optimizer, p, [[3.0]])
    assert p.item() == 1
    group["threshold"] = 0.999
    run(optimizer, p, [[3.0]])
    assert p.item() == -1


@pytest.mark.parametrize("correction", ["biased", "unbiased", "adam"])
def test_zero_gradient_flips_nothing_at_threshold_zero(correction):
    p = binary([1.0, -1.0])
    p.grad = torch.tensor([0.0, -0.0])
    optimizer = Bop2ndOrder([p], 0.5, 0.5, 0.0, correction)
    for _ in range(3):
        optimizer.step()
    assert p.tolist() == [1, -1]


def test_bfloat16_weights_keep_float32_moments():
    rng = np.random.default_rng(1)
    gradients = rng.integers(-15, 16, size=(100, 64)) / 8  # exact in bfloat16, their squares are not
    start = rng.choice([-1.0, 1.0], size=64)
    narrow, wide = binary(start, torch.bfloat16), binary(start)
    a, b = (Bop2ndOrder([p], 0.125, 0.0625, 0.25) for p in (narrow, wide))
    np.testing.assert_array_equal(run(a, narrow, gradients), run(b, wide, gradients))
    for name in ("m", "v"):
        assert torch.equal(a.state[narrow][name], b.state[wide][name])


def test_defaults_are_the_papers_study():
    group = Bop2ndOrder([binary([1.0])]).param_groups[0]
    expected = {"gamma": 1e-7, "sigma": 1e-3, "threshold": 1e-6, "correction": "biased", "eps": 1e-10}
    assert {name: group[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"correction": "none"}, "correction must be one of"),
        ({"correction": "unbiased", "gamma": 0.0}, "above 0"),
        ({"correction": "adam", "sigma": 0.0}, "above 0"),
        ({"eps": 0.0}, "eps"),
        ({"sigma": -1e-3}, "sigma"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Bop2ndOrder([binary([1.0])], **options)
