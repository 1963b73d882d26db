"""Several optimizers as one: steps, clipping, checkpoints that resume bit for bit."""

import io

import pytest
import torch

from methods.optim import Bop
from methods.optim.composite import Composite
from methods.optim.schedule import Scheduler, schedule


def parameters(seed=0):
    torch.manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(4, 3)) for _ in range(3)]


def composite(bits, latent, rest):
    """Bit flips, clipped latent weights, and everything else: three kinds of groups as the methods use them."""
    with torch.no_grad():
        bits.copy_(bits.sign())
    return Composite(
        [
            Bop([bits], gamma=0.3, threshold=0.05),
            torch.optim.Adam([{"params": [latent], "clip": 0.5, "lr_scale": 3.0}, {"params": [rest]}], lr=0.1),
        ]
    )


def train(optimizer, params, steps, start=0, scheduler=None):
    """Steps with gradients that depend on the step and the present weights alone."""
    for t in range(start, start + steps):
        generator = torch.Generator().manual_seed(t)
        loss = sum((torch.randn(p.shape, generator=generator) * p + p**2 / 2).sum() for p in params)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()


def test_it_steps_each_optimizer_as_if_it_were_alone():
    params, alone = parameters(), parameters()
    train(composite(*params), params, 5)
    with torch.no_grad():
        alone[0].copy_(alone[0].sign())
    bop, adam = Bop([alone[0]], gamma=0.3, threshold=0.05), torch.optim.Adam([alone[2]], lr=0.1)
    for t in range(5):
        generator = torch.Generator().manual_seed(t)
        noise = [torch.randn(4, 3, generator=generator) for _ in range(3)]
        for p, n in zip(alone, noise, strict=True):
            p.grad = n + p.detach()
        bop.step()
        adam.step()
    assert torch.equal(params[0], alone[0])
    torch.testing.assert_close(params[2], alone[2])
    assert not torch.equal(params[0], composite_start(0))
    assert not torch.equal(params[2], parameters()[2])


def composite_start(index):
    return parameters()[index].detach().sign()


def test_it_clips_after_the_step_only_groups_that_say_so():
    w, free = torch.nn.Parameter(torch.tensor([0.9, -0.9, 0.0])), torch.nn.Parameter(torch.tensor([0.9]))
    optimizer = Composite([torch.optim.SGD([{"params": [w], "clip": 1.0}], lr=1.0), torch.optim.SGD([free], lr=1.0)])
    w.grad, free.grad = torch.tensor([-0.5, 0.5, 0.25]), torch.tensor([-0.5])
    optimizer.step()
    assert w.tolist() == pytest.approx([1.0, -1.0, -0.25])
    assert free.tolist() == pytest.approx([1.4])


def test_closure_is_called_once_with_gradients_and_its_loss_returned():
    w = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = Composite([torch.optim.SGD([w], lr=0.25)])
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).item() == 4
    assert calls == [True]
    assert w.item() == pytest.approx(1.0)


def test_zero_grad_reaches_all():
    params = parameters()
    optimizer = composite(*params)
    train(optimizer, params, 1)
    assert all(p.grad is not None for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


def test_a_shared_parameter_is_refused():
    w = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match="more than one"):
        Composite([torch.optim.SGD([w], lr=1.0), torch.optim.Adam([w], lr=1.0)])


def test_a_resumed_optimizer_goes_on_bit_for_bit():
    def make():
        params = parameters()
        optimizer = composite(*params)
        return params, optimizer, Scheduler(optimizer, {"lr": schedule("cosine", 0.1, 0.0)}, 10, 1)

    params, optimizer, scheduler = make()
    train(optimizer, params, 4, scheduler=scheduler)
    file = io.BytesIO()
    torch.save((params, optimizer.state_dict(), scheduler.state_dict()), file)
    train(optimizer, params, 5, start=4, scheduler=scheduler)

    saved, state, steps = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    fresh, resumed, scheduler = make()
    with torch.no_grad():
        for p, value in zip(fresh, saved, strict=True):
            p.copy_(value)
    resumed.load_state_dict(state)
    scheduler.load_state_dict(steps)
    train(resumed, fresh, 5, start=4, scheduler=scheduler)
    for p, q in zip(params, fresh, strict=True):
        assert torch.equal(p, q)
    ours, theirs = ([s for o in c.optimizers for s in o.state.values()] for c in (optimizer, resumed))
    assert [list(s) for s in ours] == [list(s) for s in theirs]
    assert all(
        torch.equal(torch.as_tensor(s[k]), torch.as_tensor(r[k])) for s, r in zip(ours, theirs, strict=True) for k in s
    )


@pytest.mark.parametrize("resumed", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("saved", [torch.contiguous_format, torch.channels_last])
def test_a_checkpoint_serves_whatever_the_memory_format(saved, resumed):
    def make(values, memory_format):
        p = torch.nn.Parameter(values.clone(memory_format=memory_format))
        return [p], Composite([torch.optim.Adam([p], lr=0.1, fused=True)])

    start = torch.randn(4, 3, 2, 5)
    expected, uninterrupted = make(start, saved)
    train(uninterrupted, expected, 7)
    params, optimizer = make(start, saved)
    train(optimizer, params, 4)
    fresh, other = make(params[0].detach(), resumed)
    other.load_state_dict(optimizer.state_dict())
    train(other, fresh, 3, start=4)
    assert fresh[0].is_contiguous(memory_format=resumed)
    assert torch.equal(fresh[0], expected[0])


def test_schedules_still_reach_the_inner_optimizers_after_loading():
    params = parameters()
    optimizer = composite(*params)
    train(optimizer, params, 1)
    scheduler = Scheduler(
        optimizer, {"lr": schedule("constant", 0.25, 0.0), "threshold": schedule("constant", 9.0, 9.0)}, 10, 1
    )
    optimizer.load_state_dict(optimizer.state_dict())
    scheduler.step()
    flips, adam = optimizer.optimizers
    assert [group["lr"] for group in adam.param_groups] == pytest.approx([0.75, 0.25])
    assert [group["threshold"] for group in flips.param_groups] == [9.0]
    assert [id(g) for g in optimizer.param_groups] == [id(g) for o in optimizer.optimizers for g in o.param_groups]


def test_loading_the_state_of_another_number_of_optimizers_is_refused():
    optimizer = composite(*parameters())
    state = optimizer.state_dict()
    state["optimizers"].pop()
    with pytest.raises(ValueError, match="zip"):
        optimizer.load_state_dict(state)
