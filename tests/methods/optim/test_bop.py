"""Bop against a scalar float64 restatement of its rule."""

import numpy as np
import pytest
import torch

from methods.optim import Bop


def reference(w, gradients, gamma, threshold):
    """One weight, in float64: all its values, the last m, and w·m − τ at every step."""
    m, values, margins = 0.0, [], []
    for g in gradients:
        m = (1 - gamma) * m + gamma * g
        margins.append(w * m - threshold)
        w = -w if margins[-1] > 0 else w
        values.append(w)
    return values, m, margins


def with_ties(rng, steps, weights, gamma, threshold):
    """Gradients that take m to 0, ±τ or ±2τ in each step, with no rounding where γ and τ are powers of two."""
    targets = threshold * rng.integers(-2, 3, size=(steps, weights))
    before = np.vstack([np.zeros(weights), targets[:-1]])
    return before + (targets - before) / gamma


def run(optimizer, p, gradients):
    values = []
    for g in gradients:
        p.grad = torch.tensor(g, dtype=p.dtype).view_as(p)
        optimizer.step()
        values.append(p.detach().flatten().tolist())
    return np.array(values)


def test_flips_and_moments_are_those_of_the_rule():
    rng = np.random.default_rng(3)
    steps, gamma, threshold = 1000, 2.0**-6, 2.0**-5
    random = rng.normal(size=(steps, 100)) * (rng.random((steps, 100)) > 0.2)
    gradients = np.hstack([random.astype(np.float32), with_ties(rng, steps, 40, gamma, threshold)]).astype(np.float64)
    start = rng.choice([-1.0, 1.0], size=140)
    expected = [reference(start[i], gradients[:, i], gamma, threshold) for i in range(140)]

    p = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32).view(7, 4, 5))
    optimizer = Bop([p], gamma, threshold)
    values = run(optimizer, p, gradients)

    margins = np.array([e[2] for e in expected])
    assert (margins[100:] == 0).sum() > 5000  # exact ties, at +τ for +1 and at −τ for −1
    assert abs(margins[:100]).min() > 1e-7  # no other decision is finer than float32 resolves
    assert (np.diff(values, axis=0) != 0).sum() > 1000
    np.testing.assert_array_equal(values, np.array([e[0] for e in expected]).T)
    np.testing.assert_allclose(optimizer.state[p]["m"].flatten(), [e[1] for e in expected], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_flip_alike(dtype):
    rng = np.random.default_rng(1)
    gradients = rng.integers(-4, 5, size=(50, 64)) / 8  # exact in every dtype, as are γ and τ
    start = torch.tensor(rng.choice([-1.0, 1.0], size=64))
    narrow, wide = torch.nn.Parameter(start.to(dtype)), torch.nn.Parameter(start.float())
    optimizer = Bop([narrow], 2.0**-3, 2.0**-4)
    np.testing.assert_array_equal(
        run(optimizer, narrow, gradients), run(Bop([wide], 2.0**-3, 2.0**-4), wide, gradients)
    )
    assert optimizer.state[narrow]["m"].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_first_step_flips_what_exceeds_the_threshold_and_keeps_a_tie():
    p = torch.nn.Parameter(torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0]))
    p.grad = torch.tensor([0.5, 0.25, -0.5, -0.5, -0.25, 0.5])
    Bop([p], gamma=0.5, threshold=0.125).step()
    assert p.tolist() == [-1, 1, 1, 1, -1, -1]


def test_zero_gradient_flips_nothing_at_threshold_zero():
    p = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    p.grad = torch.tensor([0.0, -0.0])
    optimizer = Bop([p], gamma=1.0, threshold=0.0)
    for _ in range(3):
        optimizer.step()
    assert p.tolist() == [1, -1]


def test_average_survives_a_flip():
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = Bop([p], gamma=0.5, threshold=0.1)
    assert run(optimizer, p, [[1.0], [-0.25], [-0.75]]).ravel().tolist() == [-1, -1, 1]
    assert optimizer.state[p]["m"].item() == -0.3125  # 0.5, 0.125, −0.3125


def test_schedule_of_threshold_and_rate_is_obeyed():
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = Bop([p], gamma=0.5, threshold=1.0)
    group = optimizer.param_groups[0]
    run(optimizer, p, [[1.0]])
    assert p.item() == 1
    group["gamma"], group["threshold"] = 0.25, 0.5  # m = 0.5 → 0.625
    run(optimizer, p, [[1.0]])
    assert p.item() == -1
    assert optimizer.state[p]["m"].item() == 0.625


def test_defaults_are_the_papers():
    group = Bop([torch.nn.Parameter(torch.ones(1))]).param_groups[0]
    assert (group["gamma"], group["threshold"]) == (1e-4, 1e-8)
