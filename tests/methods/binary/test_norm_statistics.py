"""Re-estimated batch-norm statistics against a NumPy pass over the same batches."""

import numpy as np
import pytest
import torch
from torch import nn

from methods.binary.layers import BinaryLinear
from methods.binary.norm_statistics import reestimate, statistics
from methods.binary.sign import ActivationSign, WeightSign


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Dropout(0.5),
        BinaryLinear(6, 4, WeightSign()),
        nn.BatchNorm1d(4, eps=1e-4, momentum=0.1),
        ActivationSign(),
        BinaryLinear(4, 3, WeightSign()),
        nn.BatchNorm1d(3, eps=1e-4, momentum=0.3),
    ).double()


def test_they_are_averages_over_the_batches():
    model = net()
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([1.0, -2.0, 0.5, 1.0]))
        model[2].bias.copy_(torch.tensor([0.3, 0.0, -1.0, 0.1]))
    batches = [np.random.default_rng(i).normal(i, 1, (size, 6)) for i, size in enumerate((5, 5, 2))]
    model(torch.from_numpy(batches[0]))  # what was measured before leaves no trace
    reestimate(model, (torch.from_numpy(x) for x in batches))

    weights = [np.where(model[i].weight.detach().numpy() >= 0, 1.0, -1.0) for i in (1, 4)]
    seen: dict[int, list] = {2: [], 5: []}
    for x in batches:
        a = x @ weights[0].T
        seen[2].append((a.mean(0), a.var(0, ddof=1)))
        z = (a - a.mean(0)) / np.sqrt(a.var(0) + 1e-4)
        h = np.where(z * model[2].weight.detach().numpy() + model[2].bias.detach().numpy() >= 0, 1.0, -1.0)
        b = h @ weights[1].T
        seen[5].append((b.mean(0), b.var(0, ddof=1)))
    for index, moments in seen.items():
        means, variances = zip(*moments, strict=True)
        np.testing.assert_allclose(model[index].running_mean.numpy(), np.mean(means, 0), rtol=1e-12)
        np.testing.assert_allclose(model[index].running_var.numpy(), np.mean(variances, 0), rtol=1e-12)
        assert model[index].num_batches_tracked == 3


@pytest.mark.parametrize("training", [True, False])
def test_all_else_stays_as_it_was(training):
    model = net().train(training)
    parameters = [p.clone() for p in model.parameters()]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    reestimate(model, [torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))])
    assert torch.equal(torch.get_rng_state(), state)  # dropout too is as in evaluation
    assert all(m.training == training for m in model.modules())
    assert [model[2].momentum, model[5].momentum] == [0.1, 0.3]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), parameters, strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_statistics_can_be_kept_and_put_back():
    model = net()
    kept = [t.clone() for t in statistics(model)]
    reestimate(model, [torch.randn(4, 6, dtype=torch.float64)])
    changed = statistics(model)
    assert len(kept) == len(changed) == 2 * 3  # mean, variance and count of two layers
    assert not any(torch.equal(a, b) for a, b in zip(kept, changed, strict=True))
    assert changed[0] is model[2].running_mean
