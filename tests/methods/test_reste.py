"""ReSTE's gradient against a scalar restatement: its three ranges, their edges, and both ends of o."""

import numpy as np
import pytest
import torch

from methods.reste import RootSign

EDGES = [0.0, -0.0, 0.05, -0.1, 0.1, 0.1 + 1e-9, -0.3, 1.0, -1.5, 1.5, 1.5 + 1e-9, -2.0, 1e-30, 40.0]


def restated(z: float, o: float) -> float:
    """As the code has it, with t = 1.5 and its interval of .1."""
    if abs(z) > 1.5:
        return 0.0
    if abs(z) > 0.1:
        return 1 / o * abs(z) ** ((1 - o) / o)
    return 0.1 ** (1 / o) / 0.1


def gradient(o: float) -> torch.Tensor:
    z = torch.tensor(EDGES, dtype=torch.float64, requires_grad=True)
    quantizer = RootSign(o).double()
    quantizer.root.fill_(o)
    w = quantizer(z)
    assert w.tolist() == [1.0 if v >= 0 else -1.0 for v in EDGES]
    w.backward(torch.arange(1.0, len(EDGES) + 1, dtype=torch.float64))
    return z.grad


@pytest.mark.parametrize("o", [1.0, 1.3, 2.0, 3.0])
def test_the_gradient_has_three_ranges(o):
    expected = [(i + 1) * restated(z, o) for i, z in enumerate(EDGES)]
    np.testing.assert_allclose(gradient(o).numpy(), expected, rtol=1e-12)


def test_at_one_it_is_the_straight_through_estimator_within_1_5():
    assert gradient(1.0).tolist() == [(i + 1) * float(abs(z) <= 1.5) for i, z in enumerate(EDGES)]


def test_it_jumps_at_a_tenth():
    """At o = 3: 4.64 on the chord, 1.55 just outside."""
    slopes = dict(zip(EDGES, (gradient(3.0) / torch.arange(1, len(EDGES) + 1)).tolist(), strict=True))
    assert slopes[0.1] == slopes[1e-30] == pytest.approx(4.6416, abs=1e-4)
    assert slopes[0.1 + 1e-9] == pytest.approx(1.5472, abs=1e-4)
