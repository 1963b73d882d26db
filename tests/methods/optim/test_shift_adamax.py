"""ShiftAdaMax: steps by hand, under a schedule, and its options."""

import math

import numpy as np
import pytest
import torch

from methods.optim import ShiftAdaMax
from methods.optim.schedule import Scheduler, schedule


def draws(seed, steps, weights):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-10, 1, size=weights)  # from below ε to far above it
    gradients = scale * rng.normal(size=(steps, weights)) * (rng.random((steps, weights)) > 0.3)
    gradients[:, 0] = 0.0  # a weight that never has a gradient
    gradients[: steps // 2, 1] = 0.0  # and one that starts late
    gradients[steps // 2 :, 2] = 0.0  # and one whose gradients cease
    return gradients.astype(np.float32).astype(np.float64)


def step(optimizer, p, gradient):
    p.grad = torch.as_tensor(gradient, dtype=p.dtype).view_as(p)
    optimizer.step()
    return p.tolist()


def test_defaults_are_those_of_the_torch7_code():
    group = ShiftAdaMax([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]
    expected = {"lr": 2**-6, "betas": (0.9, 0.999), "eps": 2**-27, "write_back": True}
    assert {name: group[name] for name in expected} == expected


def test_a_first_step_by_hand():
    p = torch.nn.Parameter(torch.zeros(4))
    optimizer = ShiftAdaMax([p], lr=0.1, betas=(0.75, 0.999))
    # step size AP2(0.1/0.25) = ½; m/d = g/4/AP2(|g|), and 2^-30/4 over the least denominator, 2^-27
    assert step(optimizer, p, [3.0, -1.4, 0.0, 2.0**-30]) == [-0.5 * 3 / 16, 0.5 * np.float32(1.4) / 4, 0, -(2.0**-6)]
    assert optimizer.state[p]["v"].tolist() == [4, 1, 2.0**-27, 2.0**-27]


def test_written_back_v_never_falls_and_otherwise_it_decays():
    p, q = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    keeping, decaying = (ShiftAdaMax([w], betas=(0.9, 0.99), write_back=w is p) for w in (p, q))
    for g in [3.0] + 140 * [0.01]:
        step(keeping, p, [g])
        step(decaying, q, [g])
    assert keeping.state[p]["v"].item() == 4
    assert decaying.state[q]["v"].item() == pytest.approx(3 * 0.99**140, rel=1e-5)  # two halvings of 69 steps


def test_schedules_drive_the_rate_and_a_scale_by_a_power_of_two_scales_the_step():
    plain, scaled = (torch.nn.Parameter(torch.zeros(50)) for _ in range(2))
    optimizer = ShiftAdaMax([{"params": [plain]}, {"params": [scaled], "lr_scale": 16.0}])
    scheduler = Scheduler(optimizer, {"lr": schedule("exponential", 0.1, 1e-3)}, 20, 1)
    for gradient in draws(5, 20, 50):
        plain.grad = torch.tensor(gradient, dtype=torch.float32)
        scaled.grad = plain.grad.clone()
        optimizer.step()
        scheduler.step()
    assert plain.abs().max() > 0
    torch.testing.assert_close(scaled, 16 * plain, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr must be"),
        ({"lr": math.nan}, "lr must be"),
        ({"eps": 0.0}, "eps must be above 0"),
        ({"eps": 1e-40}, "eps must be above 0"),
        ({"betas": (1.0, 0.9)}, "betas must be in"),
        ({"betas": (0.9, -0.1)}, "betas must be in"),
        ({"betas": (math.nan, 0.9)}, "betas must be in"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ShiftAdaMax([torch.nn.Parameter(torch.zeros(1))], **options)
