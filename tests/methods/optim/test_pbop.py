"""PBop: steps by hand, its bounds, and its options."""

import math

import pytest
import torch

from methods.optim import PBop


def step(optimizer, p, gradient):
    p.grad = torch.tensor(gradient, dtype=p.dtype)
    optimizer.step()
    return p.tolist()


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
