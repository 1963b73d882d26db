"""Each schedule against its formula, and how they drive param groups and values."""

import math

import pytest
import torch

from methods.optim.schedule import SCHEDULES, Scheduler, schedule

# value at t = 0, in the middle, and just before the end, from start = 8 to end = 0.5 (a ratio of 16)
EXPECTED = {
    "constant": (8, 8, 8),
    "linear": (8, 4.25, 0.5 + 7.5e-6),
    "polynomial": (8, 0.5 + 7.5 / 8, 0.5 + 7.5e-18),  # power 3: (1 − ½)³ = 1/8
    "exponential": (8, 2, 0.5 * 16**1e-6),  # geometric mean of 8 and ½
    "staircase": (8, 2, 0.5),  # 5 stairs: ratio 16^(1/4) = 2 between them; t = ½ lies on the third
    "cosine": (8, 4.25, 0.5 + 7.5 * (1 - math.cos(math.pi * 1e-6)) / 2),
    "milestones": (8, 4, 2),
}
MILESTONES = ((0.3, 0.5), (0.8, 0.25))


def optimizer_of(*groups):
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], **group} for group in groups], lr=9.0)


def test_every_kind_is_tested():
    assert set(EXPECTED) == set(SCHEDULES)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_values_of_a_schedule(kind):
    value = schedule(kind, 8.0, 0.5, power=3.0, stairs=5, milestones=MILESTONES)
    assert [value(t) for t in (0, 0.5, 1 - 1e-6)] == pytest.approx(EXPECTED[kind], rel=1e-9)


@pytest.mark.parametrize("kind", sorted(set(SCHEDULES) - {"constant", "milestones"}))
def test_schedules_go_up_as_well_as_down(kind):
    up, down = schedule(kind, 1e-7, 1e-2), schedule(kind, 1e-2, 1e-7)
    steps = [i / 1000 for i in range(1000)]
    rising = [up(t) for t in steps]
    assert rising == sorted(rising)
    assert rising[0] == pytest.approx(1e-7)
    falling = [down(t) for t in steps]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == pytest.approx(1e-2)


def test_staircase_has_equal_stairs_and_ends_at_the_end():
    value = schedule("staircase", 1e-4, 1e-8, stairs=5)  # Bop on CIFAR-10: ×0.1 every 100 of 500 epochs
    per_epoch = [value(epoch / 500) for epoch in range(500)]
    assert per_epoch == pytest.approx([10.0 ** -(4 + epoch // 100) for epoch in range(500)], rel=1e-9)


def test_a_rate_halved_every_so_many_epochs_is_a_staircase():
    epochs, steps = 1000, 3  # BinaryNet in Torch7 on MNIST: halved every 20 epochs
    value = schedule("staircase", 2.0**-6, 2.0**-55, stairs=50)
    optimizer = optimizer_of({})
    scheduler = Scheduler(optimizer, {"lr": value}, steps, epochs, "epoch")
    for epoch in range(epochs):
        for _ in range(steps):
            assert math.log2(optimizer.param_groups[0]["lr"]) == pytest.approx(-6 - epoch // 20, abs=1e-9)
            scheduler.step()


@pytest.mark.parametrize("kind", ["exponential", "staircase"])
@pytest.mark.parametrize(("start", "end"), [(1, 0), (0, 1), (-1, 1), (1, -1)])
def test_geometric_schedules_refuse_zero(kind, start, end):
    with pytest.raises(ValueError, match="positive"):
        schedule(kind, start, end)


def test_unknown_kind_names_the_valid_ones():
    with pytest.raises(ValueError, match=r"cosin.*constant.*cosine"):
        schedule("cosin", 1, 0)


def test_one_stair_is_refused():
    with pytest.raises(ValueError, match="stairs"):
        schedule("staircase", 1, 0.1, stairs=1)


def test_per_step():
    optimizer = optimizer_of({})
    scheduler = Scheduler(optimizer, {"lr": schedule("linear", 1.0, 0.0)}, steps_per_epoch=3, epochs=2)
    seen = []
    for _ in range(6):
        seen.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    assert seen == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_per_epoch_is_binarynets_recursion():
    start, end, epochs, steps = 3e-3, 3e-7, 7, 4
    optimizer = optimizer_of({})
    scheduler = Scheduler(optimizer, {"lr": schedule("exponential", start, end)}, steps, epochs, "epoch")
    lr = start
    for _ in range(epochs):
        for _ in range(steps):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(lr, rel=1e-9)
            scheduler.step()
        lr *= (end / start) ** (1 / epochs)


@pytest.mark.parametrize("every", ["step", "epoch"])
def test_the_call_after_the_last_step_stays_on_the_last_stair(every):
    optimizer = optimizer_of({})
    scheduler = Scheduler(optimizer, {"lr": schedule("staircase", 16.0, 1.0, stairs=5)}, 2, 5, every)
    for _ in range(10):
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1.0)


def test_scale_and_absent_names():
    optimizer = optimizer_of({"lr_scale": 7.0}, {"gamma": 0.0}, {"gamma": 0.0, "gamma_scale": 2.0})
    schedules = {"lr": schedule("linear", 1.0, 0.0), "gamma": schedule("constant", 3.0, 0.0)}
    Scheduler(optimizer, schedules, steps_per_epoch=2, epochs=1).step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([3.5, 0.5, 0.5])
    assert [group.get("gamma") for group in optimizer.param_groups] == [None, 3.0, 6.0]


def test_values_are_unscaled_and_there_for_what_no_group_has():
    optimizer = optimizer_of({"lr_scale": 7.0})
    schedules = {"lr": schedule("linear", 1.0, 0.0), "strength": schedule("exponential", 4.0, 1.0)}
    scheduler = Scheduler(optimizer, schedules, steps_per_epoch=2, epochs=1)
    values = scheduler.values
    assert values == {"lr": 1.0, "strength": 4.0}
    scheduler.step()
    assert values == {"lr": 0.5, "strength": pytest.approx(2.0)}
    assert "strength" not in optimizer.param_groups[0]
    scheduler.load_state_dict({"steps": 0})
    assert values == {"lr": 1.0, "strength": 4.0}


def test_state_round_trip():
    def make():
        optimizer = optimizer_of({}, {"lr_scale": 2.0})
        return optimizer, Scheduler(optimizer, {"lr": schedule("cosine", 1.0, 0.0)}, 5, 4)

    uninterrupted, first = make()
    for _ in range(7):
        first.step()
    resumed, second = make()
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        assert [g["lr"] for g in resumed.param_groups] == [g["lr"] for g in uninterrupted.param_groups]
        first.step()
        second.step()
    expected = (1 + math.cos(math.pi * 10 / 20)) / 2
    assert [g["lr"] for g in resumed.param_groups] == pytest.approx([expected, 2 * expected])


def rates(every, value, epochs=4, steps=3):
    """The rate of each step of a run."""
    optimizer = optimizer_of({})
    scheduler = Scheduler(optimizer, {"lr": value}, steps, epochs, every)
    seen = []
    for _ in range(epochs * steps):
        seen.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    return seen


def test_milestones_change_the_value_at_the_start_of_their_epochs():
    # epochs 2 and 4 of 49, whose starts are no exact floats
    value = schedule("milestones", 2.0, 9.0, milestones=[(1 / 49, 0.5), (3 / 49, 3.0)])
    assert rates("step", value, 49)[:12] == [2, 2, 2, 1, 1, 1, 1, 1, 1, 6, 6, 6]
    assert rates("epoch", value, 49)[:12] == [2, 2, 2, 1, 1, 1, 1, 1, 1, 6, 6, 6]


@pytest.mark.parametrize("milestones", [[], [(0.5, 0.1), (0.2, 0.1)], [(0.5, 0.1), (0.5, 0.2)]])
def test_milestones_that_are_none(milestones):
    with pytest.raises(ValueError, match="milestones are one or more epochs in rising order"):
        schedule("milestones", 1.0, 0.1, milestones=milestones)


def test_a_schedule_that_is_an_epoch_ahead_ends_at_its_end():
    # BayesBiNN's code steps its cosine before the first epoch: in epoch e = 1…E it is α(1 + cos(πe/E))/2
    expected = [0.3 * (1 + math.cos(math.pi * e / 4)) / 2 for e in (1, 2, 3, 4) for _ in range(3)]
    assert rates("epoch_end", schedule("cosine", 0.3, 0.0)) == pytest.approx(expected, abs=1e-15)
    assert rates("epoch_end", schedule("staircase", 8.0, 1.0, stairs=4))[-1] == pytest.approx(1)
