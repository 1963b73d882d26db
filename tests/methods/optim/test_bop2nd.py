"""Bop2ndOrder: steps by hand, the relations between its corrections, and its options."""

import math

import numpy as np
import pytest
import torch

from methods.optim import Bop, Bop2ndOrder


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
        ({"scope": "channel"}, "scope must be one of"),
        ({"sigma": -1e-3}, "sigma"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Bop2ndOrder([binary([1.0])], **options)


def test_second_moment_over_the_layer_and_over_the_net():
    """Against the rule in NumPy, two parameters of unlike gradients in two groups; v is the same for all of a scope."""
    rng = np.random.default_rng(3)
    gamma, sigma, threshold = 0.25, 0.125, 0.3
    sizes, scale = (40, 200), (1e-3, 10.0)
    gradients = [[s * rng.normal(size=n) for n, s in zip(sizes, scale, strict=True)] for _ in range(60)]
    start = [rng.choice([-1.0, 1.0], size=n) for n in sizes]
    flips = {}
    for scope in ("weight", "layer", "net"):
        params = [binary(w, torch.float64) for w in start]
        optimizer = Bop2ndOrder([{"params": [p]} for p in params], gamma, sigma, threshold, scope=scope)
        weights, m = [w.copy() for w in start], [np.zeros(n) for n in sizes]
        v = [np.zeros(n) for n in sizes]
        flips[scope] = 0
        for step in gradients:
            everything = sum((g**2).sum() for g in step) / sum(sizes)
            for i, g in enumerate(step):
                square = {"weight": g**2, "layer": (g**2).mean(), "net": everything}[scope]
                m[i] += gamma * (g - m[i])
                v[i] += sigma * (square - v[i])
                flip = weights[i] * m[i] / (np.sqrt(v[i]) + 1e-10) > threshold
                weights[i][flip] *= -1
                flips[scope] += flip.sum()
                params[i].grad = torch.tensor(g)
            optimizer.step()
            for p, w in zip(params, weights, strict=True):
                np.testing.assert_array_equal(p.detach().numpy(), w)
        for p, expected in zip(params, v, strict=True):
            np.testing.assert_allclose(optimizer.state[p]["v"].numpy(), expected, rtol=1e-12)
    assert len(set(flips.values())) == 3


@pytest.mark.parametrize("scope", ["weight", "layer", "net"])
def test_at_threshold_zero_every_scope_is_bop(scope):
    gradients, start = draws(5, 200, 300)
    ours, bop = binary(start), binary(start)
    a = run(Bop2ndOrder([ours], 0.125, 0.0625, 0.0, scope=scope), ours, gradients)
    np.testing.assert_array_equal(a, run(Bop([bop], 0.125, 0.0), bop, gradients))
    assert (np.diff(a, axis=0) != 0).sum() > 1000
