"""PBop against a scalar float64 restatement of its rule."""

import math

import numpy as np
import pytest
import torch

from methods.optim import PBop


def reference(p, gradients, gamma, sigma, scaler, p_min, eps=1e-10):
    """One weight, in float64: its last probability, m and v, and how often p met a bound."""
    m = v = 0.0
    clipped = 0
    for g in gradients:
        m = (1 - gamma) * m + gamma * g
        v = (1 - sigma) * v + sigma * g * g
        free = p - scaler * m / (math.sqrt(v) + eps)
        p = min(max(free, p_min), 1 - p_min)
        clipped += p != free
    return p, m, v, clipped


def step(optimizer, p, gradient):
    p.grad = torch.tensor(gradient, dtype=p.dtype)
    optimizer.step()
    return p.tolist()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_probabilities_and_moments_are_those_of_the_rule(dtype, tolerance):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(1000, 100)) * (rng.random((1000, 100)) > 0.2)
    gradients = gradients.astype(np.float32).astype(np.float64)
    start = rng.random(100).astype(np.float32).astype(np.float64)
    arguments = {"gamma": 2.0**-3, "sigma": 2.0**-6, "scaler": 2.0**-4, "p_min": 2.0**-5}
    expected = [reference(start[i], gradients[:, i], **arguments) for i in range(100)]

    p = torch.nn.Parameter(torch.tensor(start, dtype=dtype))
    optimizer = PBop([p], **arguments)
    for g in gradients:
        step(optimizer, p, g)
    assert sum(e[3] for e in expected) > 1000
    np.testing.assert_allclose(p.detach(), [e[0] for e in expected], rtol=0, atol=tolerance)
    np.testing.assert_allclose(optimizer.state[p]["m"], [e[1] for e in expected], rtol=0, atol=1e-6)
    np.testing.assert_allclose(optimizer.state[p]["v"], [e[2] for e in expected], rtol=0, atol=1e-6)


def test_probability_moves_downhill_by_the_scaler():
    p = torch.nn.Parameter(torch.full((3,), 0.5))
    optimizer = PBop([p], gamma=1.0, sigma=1.0, scaler=0.125)
    assert step(optimizer, p, [0.01, -100.0, 0.0]) == [0.375, 0.625, 0.5]


def test_probability_stays_within_its_bounds_and_leaves_them_again():
    p = torch.nn.Parameter(torch.tensor([0.0, 0.5, 1.0, 0.5]))
    optimizer = PBop([p], gamma=1.0, sigma=1.0, scaler=10.0, p_min=0.25)
    assert step(optimizer, p, [0.0, 1.0, 0.0, -1.0]) == [0.25, 0.25, 0.75, 0.75]
    optimizer.param_groups[0]["scaler"] = 0.25
    assert step(optimizer, p, [-1.0, -1.0, 1.0, 1.0]) == [0.5, 0.5, 0.5, 0.5]


def test_zero_gradient_moves_nothing():
    p = torch.nn.Parameter(torch.tensor([0.25, 0.75]))
    assert step(PBop([p], 0.5, 0.5, 1.0), p, [0.0, 0.0]) == [0.25, 0.75]


def test_half_precision_and_what_is_no_probability_are_refused():
    for values, message in (
        (torch.tensor([0.5], dtype=torch.bfloat16), "float32 or float64"),
        (torch.tensor([1.5]), "probabilities"),
        (torch.tensor([-0.5]), "probabilities"),
        (torch.tensor([math.nan]), "probabilities"),
    ):
        p = torch.nn.Parameter(values)
        with pytest.raises(ValueError, match=message):
            step(PBop([p], 0.5, 0.5, 1.0), p, [0.0])


@pytest.mark.parametrize(
    ("name", "value"), [("p_min", 0.6), ("p_min", -0.1), ("scaler", -1.0), ("scaler", math.inf), ("eps", 0.0)]
)
def test_options_out_of_range_are_refused(name, value):
    arguments = {"gamma": 0.5, "sigma": 0.5, "scaler": 1.0, name: value}
    with pytest.raises(ValueError, match=name):
        PBop([torch.nn.Parameter(torch.tensor([0.5]))], **arguments)
