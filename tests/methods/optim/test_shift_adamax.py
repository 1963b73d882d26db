"""ShiftAdaMax against a scalar float64 restatement of its rule, its options, and that it resumes bit for bit."""

import copy
import io
import math

import numpy as np
import pytest
import torch

from methods.optim import ShiftAdaMax
from methods.optim.schedule import Scheduler, schedule


def power(x):
    """AP2 of x ≥ 0 by the logarithm."""
    return 2.0 ** round(math.log2(x)) if x else 0.0


def reference(w, gradients, rates, beta1, beta2, eps, write_back):
    """One weight, in float64: its value after every step, the last m and v, and how near v came to AP2's border."""
    m = v = 0.0
    values, margin = [], math.inf
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = max(beta2 * v, abs(g))
        if v > 0:
            margin = min(margin, abs(math.log2(v) % 1 - 0.5))
        d = max(power(v), eps)
        v = d if write_back else v
        w -= power(lr / (1 - beta1**t)) * m / d
        values.append(w)
    return values, m, v, margin


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


@pytest.mark.parametrize("write_back", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_weights_and_moments_are_those_of_the_rule(dtype, tolerance, write_back):
    steps, weights = 300, 40
    gradients = draws(3, steps, weights)
    rates = [0.03 * 0.99**k for k in range(steps)]
    start = np.random.default_rng(1).uniform(-1, 1, weights).astype(np.float32).astype(np.float64)
    arguments = {"beta1": 0.9, "beta2": 0.99, "eps": 2.0**-27, "write_back": write_back}
    expected = [reference(start[i], gradients[:, i], rates, **arguments) for i in range(weights)]
    assert min(e[3] for e in expected) > 1e-6  # no rounding to a power of two is closer than float32 resolves

    p = torch.nn.Parameter(torch.tensor(start, dtype=dtype).view(5, 8))
    optimizer = ShiftAdaMax([p], betas=(0.9, 0.99), write_back=write_back)
    for k in range(steps):
        optimizer.param_groups[0]["lr"] = rates[k]
        step(optimizer, p, gradients[k])
        np.testing.assert_allclose(p.detach().flatten(), [e[0][k] for e in expected], rtol=0, atol=tolerance)
    state = optimizer.state[p]
    scale = np.abs(gradients).max(0) + 1e-30
    np.testing.assert_allclose(
        state["m"].flatten().numpy() / scale, [e[1] for e in expected] / scale, rtol=0, atol=tolerance
    )
    np.testing.assert_allclose(state["v"].flatten(), [e[2] for e in expected], rtol=0 if write_back else tolerance)
    assert state["step"] == steps
    assert p.flatten()[0].item() == start[0]
    assert np.abs(p.detach().flatten()[1:].numpy() - start[1:]).min() > 1e-5


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resumed_run_is_the_uninterrupted_run(dtype):
    def steps(optimizer, params, seeds):
        for seed in seeds:
            rng = torch.Generator().manual_seed(seed)
            for p in params:
                p.grad = torch.randn(p.shape, generator=rng).to(p.dtype)
            optimizer.step()

    whole = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in [(8, 3, 3), (5,)]]
    optimizer = ShiftAdaMax(whole, lr=0.02)
    steps(optimizer, whole, range(20))
    file = io.BytesIO()
    torch.save({"params": [p.detach() for p in whole], "optimizer": optimizer.state_dict()}, file)
    twin = copy.deepcopy(optimizer)
    steps(optimizer, whole, range(20, 40))
    steps(twin, twin.param_groups[0]["params"], range(20, 40))

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = [torch.nn.Parameter(p) for p in saved["params"]]
    other = ShiftAdaMax(resumed)
    other.load_state_dict(saved["optimizer"])
    steps(other, resumed, range(20, 40))
    for p, q, r in zip(whole, resumed, twin.param_groups[0]["params"], strict=True):
        assert torch.equal(p, q)
        assert torch.equal(p, r)
        assert optimizer.state[p]["v"].dtype == torch.float32
        assert all(
            torch.equal(torch.as_tensor(v), torch.as_tensor(other.state[q][k])) for k, v in optimizer.state[p].items()
        )


def test_a_gradient_that_is_not_finite_changes_nothing():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = ShiftAdaMax([p])
    step(optimizer, p, [1.0, -1.0, 0.0])
    before, state = p.detach().clone(), copy.deepcopy(dict(optimizer.state[p]))
    with pytest.raises(FloatingPointError, match="parameter 0 of group 0"):
        step(optimizer, p, [1.0, math.nan, 0.0])
    assert torch.equal(p, before)
    assert all(torch.equal(torch.as_tensor(state[k]), torch.as_tensor(v)) for k, v in optimizer.state[p].items())


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


def test_complex_parameters_are_refused():
    p = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    p.grad = torch.zeros_like(p)
    with pytest.raises(ValueError, match=r"real floating numbers, not torch\.complex64"):
        ShiftAdaMax([p], check_finite=False).step()


@pytest.mark.parametrize("write_back", [True, False])
def test_compiled_equals_eager_and_follows_a_schedule_without_recompiling(write_back):
    plain, fast = ([torch.nn.Parameter(torch.ones(shape)) for shape in [(150, 151), (9,)]] for _ in range(2))
    a, b = (ShiftAdaMax(p, write_back=write_back, compiled=p is fast) for p in (plain, fast))

    def steps(seed):
        rng = torch.Generator().manual_seed(seed)
        for p, q in zip(plain, fast, strict=True):
            p.grad = torch.randn(p.shape, generator=rng) * 10.0 ** torch.randint(-9, 2, p.shape, generator=rng)
            q.grad = p.grad.clone()
        a.step()
        b.step()

    steps(0)
    with torch.compiler.set_stance("fail_on_recompile"):
        for k in range(1, 6):
            for optimizer in (a, b):
                optimizer.param_groups[0]["lr"] = 0.1 / k
            steps(k)
    for p, q in zip(plain, fast, strict=True):
        assert torch.equal(p, q)
        assert all(torch.equal(a.state[p][name], b.state[q][name]) for name in ("m", "v"))
