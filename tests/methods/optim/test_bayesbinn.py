"""BayesBiNN beside the Bop that it becomes, and its options."""

import math

import pytest
import torch

from methods.binary.random_weights import ConcreteSign
from methods.optim import BayesBiNN, Bop


def share_like_bop(dtype: torch.dtype) -> float:
    """Of 1,000 weights over 60 steps of the same gradients, how often the two agree."""
    generator = torch.Generator().manual_seed(0)
    start = torch.where(torch.rand(1000, generator=generator) < 0.5, -1.0, 1.0)
    natural = torch.nn.Parameter((10 * start).to(dtype))
    weight = torch.nn.Parameter(start.clone())
    quantizer = ConcreteSign(temperature=1e-10, eps=1e-10)
    bayes = BayesBiNN([natural], alpha=0.05, momentum=0.0, examples=50_000)
    bop = Bop([weight], gamma=0.05, threshold=0.0)
    agreed = 0
    for _ in range(60):
        g = 1e-3 * torch.randn(1000, generator=generator)
        (quantizer(natural) * g).sum().backward()
        weight.grad = g
        bayes.step()
        bop.step()
        natural.grad = None
        agreed += ((natural < 0) == (weight < 0)).sum().item()
    return agreed / 60_000


def test_at_small_temperature_in_float32_it_is_bop_without_a_threshold():
    assert share_like_bop(torch.float32) == 1.0


def test_in_float64_the_first_gradients_weigh_less():
    # 1 − tanh²(10) = 8e-9 is 0 in float32, and 83 ε in float64: the start counts, and weights differ for a while
    assert 0.8 < share_like_bop(torch.float64) < 0.999


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="momentum"):
        BayesBiNN([torch.nn.Parameter(torch.zeros(1))], 0.1, 1.0, 10)
    p = torch.nn.Parameter(torch.tensor([math.inf]))
    p.grad = torch.zeros(1)
    with pytest.raises(ValueError, match="finite natural parameters"):
        BayesBiNN([p], 0.1, 0.9, 10).step()
