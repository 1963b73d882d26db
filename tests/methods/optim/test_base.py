"""The step that the optimizers share: what it says of gradients that are not finite, and lists of compiled code."""

import math

import pytest
import torch

from methods.optim import Bop


def bop(params, **options):
    return Bop(params, **{"gamma": 0.125, "threshold": 0.05} | options)


def ones(size):
    return torch.nn.Parameter(torch.ones(size))


@pytest.mark.parametrize("bad", [[math.inf, -math.inf], [math.inf, 0.0], [0.0, -math.inf], [math.nan, 1.0]])
def test_any_gradient_that_is_not_finite_is_found(bad):
    # infinities of both signs must not hide each other in a sum
    p = ones(4)
    p.grad = torch.tensor([*bad, 0.0, 1.0])
    with pytest.raises(FloatingPointError, match=r"parameter 0 of group 0 \(shape \(4,\)\)"):
        bop([p]).step()


def test_the_error_tells_the_name_of_a_named_parameter():
    first, second = ones(2), ones(2)
    optimizer = bop([{"params": [("conv.weight", first)]}, {"params": [("linear.weight", second)]}])
    second.grad = torch.full((2,), math.nan)
    with pytest.raises(FloatingPointError, match=r"'linear\.weight' of group 1"):
        optimizer.step()


def test_gradients_whose_sum_overflows_are_accepted():
    p = ones(4)
    p.grad = torch.full((4,), 3e38)
    optimizer = bop([p], gamma=1e-30)
    optimizer.step()
    torch.testing.assert_close(optimizer.state[p]["m"], torch.full((4,), 3e8))


def test_the_check_can_be_left_out():
    p = ones(2)
    p.grad = torch.full((2,), math.nan)
    bop([p], check_finite=False).step()
    assert p.abs().eq(1).all()


@pytest.mark.slow
def test_more_lists_of_parameters_are_compiled_than_torch_allows_one_function():
    with torch._dynamo.config.patch(recompile_limit=1):
        for size in (2**14 + 1, 2**14 + 2, 2**14 + 3):
            p = ones(size)
            p.grad = torch.ones(size)
            bop([p], gamma=0.5, compiled=True).step()
            assert p.eq(-1).all()
