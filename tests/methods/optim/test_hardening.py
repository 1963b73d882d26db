"""The plan of a run: spans that tile it, and what is hardened at every epoch."""

import pytest

from methods.optim.hardening import BINARIZE, HardeningPlan


def test_a_span_for_each_layer():
    plan = HardeningPlan("by_layer", 30, 5, 1 / 3)
    assert plan.soft_epochs == 10
    assert [plan.span(layer) for layer in range(5)] == [(10, 14), (14, 18), (18, 22), (22, 26), (26, 30)]
    assert [plan.progress(1, moment) for moment in (0, 14, 14.5, 16, 17, 18, 30)] == [0, 0, 0.125, 0.5, 0.75, 1, 1]
    assert [plan.hardened(1, epoch) for epoch in (0, 14, 17, 18, 29)] == [0, 0, 0, 1, 1]
    assert [plan.hardened(4, epoch) for epoch in (26, 29)] == [0, 0]
    assert [plan.stage_progress(moment) for moment in (0, 9, 10, 11, 13.5, 14, 29)] == [
        0,
        0.9,
        0,
        0.25,
        0.875,
        0,
        0.75,
    ]
    assert [plan.soft_progress(moment) for moment in (0, 5, 10, 25)] == [0, 0.5, 1, 1]


@pytest.mark.parametrize("binarize", ["at_once", "by_part"])
def test_one_span_for_all(binarize):
    plan = HardeningPlan(binarize, 10, 3, 0.5)
    assert {plan.span(layer) for layer in range(3)} == {(5, 10)}
    shares = [plan.hardened(2, epoch) for epoch in range(10)]
    parts = [0.36, 0.64, 0.84, 0.96, 1] if binarize == "by_part" else [0] * 5
    assert shares == pytest.approx([0] * 5 + parts)
    assert plan.stage_progress(7.5) == 0.5


@pytest.mark.parametrize("binarize", BINARIZE)
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 7, 28])
@pytest.mark.parametrize("soft", [0.01, 0.3, 1.0])
def test_runs_of_any_length(binarize, epochs, soft):
    """Spans follow upon one another to the end of the run; nothing that was hardened becomes soft again."""
    plan = HardeningPlan(binarize, epochs, 5, soft)
    assert 1 <= plan.soft_epochs <= epochs
    spans = [plan.span(layer) for layer in range(5)]
    assert spans[-1][1] == epochs
    ends = [plan.soft_epochs, *(end for _, end in spans)]
    for layer, (first, end) in enumerate(spans):
        one_by_one = binarize in ("by_layer", "by_part_of_layer")
        assert first == (ends[layer] if one_by_one else plan.soft_epochs) <= end
        shares = [plan.hardened(layer, epoch) for epoch in range(epochs)]
        done = [plan.progress(layer, epoch / 4) for epoch in range(4 * epochs)]
        for values in (shares, done):
            assert values == sorted(values)
            assert all(0 <= value <= 1 for value in values)
        assert not any(shares[: plan.soft_epochs])
    assert all(0 <= plan.stage_progress(moment / 8) < 1 for moment in range(8 * epochs))


def test_parts_of_one_layer_at_a_time():
    plan = HardeningPlan("by_part_of_layer", 14, 3, 2 / 14)
    assert [plan.span(layer) for layer in range(3)] == [(2, 6), (6, 10), (10, 14)]
    parts = [7 / 16, 12 / 16, 15 / 16, 1]
    for layer in range(3):
        shares = [plan.hardened(layer, epoch) for epoch in range(14)]
        before, after = 2 + 4 * layer, 14 - (6 + 4 * layer)
        assert shares == pytest.approx([0] * before + parts + [1] * after)
