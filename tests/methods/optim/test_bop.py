"""Bop: steps by hand, and its defaults."""

import numpy as np
import torch

from methods.optim import Bop


def run(optimizer, p, gradients):
    values = []
    for g in gradients:
        p.grad = torch.tensor(g, dtype=p.dtype).view_as(p)
        optimizer.step()
        values.append(p.detach().flatten().tolist())
    return np.array(values)


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


def test_defaults_are_the_papers():
    group = Bop([torch.nn.Parameter(torch.ones(1))]).param_groups[0]
    assert (group["gamma"], group["threshold"]) == (1e-4, 1e-8)
