"""Batch norm measured anew for the net as it is evaluated, and drawn weights averaged with statistics of their own."""

import numpy as np
import pytest
import torch

from methods import METHODS
from methods.binary.norm_statistics import statistics
from methods.nets import NETS
from methods.recalibrated import BATCHES, RecalibratedMethod


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if issubclass(m, RecalibratedMethod)])
def test_a_trained_net_holds_the_statistics_of_what_it_evaluates(name, fit):
    torch.manual_seed(0)
    method = METHODS[name](METHODS[name].Config(), NETS["tiny"].Config(), (1, 8, 8), 10, "cross_entropy")
    x, y = torch.randn(60, 1, 8, 8), torch.arange(60) % 10
    fit(method, x, y, epochs=2, batch_size=20)
    held = [t.clone() for t in statistics(method.net)]
    assert BATCHES >= 3  # so that all three batches were seen
    method.reestimate()
    assert all(torch.equal(a, b) for a, b in zip(statistics(method.net), held, strict=True))
    conv, pool, norm, *_ = method.eval().net
    with torch.no_grad():
        pooled = pool(conv(x)).double().numpy().reshape(3, 20, 8, 4)
    np.testing.assert_allclose(norm.running_mean, pooled.mean((0, 1, 3)), atol=1e-5)
    variances = [batch.transpose(1, 0, 2).reshape(8, -1).var(1, ddof=1) for batch in pooled]
    np.testing.assert_allclose(norm.running_var, np.mean(variances, 0), rtol=1e-4)


@pytest.mark.parametrize("name", ["pbop", "bayesbinn"])
def test_draws_are_evaluated_with_their_own_statistics_and_leave_none_behind(name, fit):
    torch.manual_seed(0)
    options = {"spread": 1.0} if name == "pbop" else {"init": 0.3}
    method = METHODS[name](METHODS[name].Config(**options), NETS["tiny"].Config(), (1, 8, 8), 10, "cross_entropy")
    x, y = torch.randn(60, 1, 8, 8), torch.arange(60) % 10
    fit(method, x, y, epochs=1)
    method.eval()
    held = [t.clone() for t in statistics(method.net)]
    plain = method.predict(x)
    contexts = dict(method.variants())
    with torch.no_grad(), contexts["draws"]:
        assert not torch.equal(statistics(method.net)[0], held[0])
        probabilities = method.predict(x).exp()
        torch.testing.assert_close(probabilities.sum(1), torch.ones(60))
        assert not torch.equal(method.predict(x).exp(), probabilities)  # drawn anew
    assert all(torch.equal(a, b) for a, b in zip(statistics(method.net), held, strict=True))
    assert torch.equal(method.predict(x), plain)
