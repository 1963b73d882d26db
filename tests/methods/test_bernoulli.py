"""The naive Bernoulli method: what is hardened when, rates, temperatures, and the penalty in the loss."""

import math
from typing import ClassVar

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.nn import functional as F

from configs.settings import UserError
from methods.bernoulli import Bernoulli, Config, harden
from methods.binary.bernoulli import CERTAIN, EXPECTATION
from methods.nets import NETS


def make(**settings):
    torch.manual_seed(0)
    return Bernoulli(Config(**settings), NETS["tiny"].Config(width=4), (1, 8, 8), 10, "cross_entropy")


def test_harden_takes_the_largest_logits():
    logits = torch.tensor([[0.1, -3.0, 0.0], [2.0, -0.2, 0.15]])
    harden(logits, 0)
    assert logits.abs().max() == 3
    harden(logits, 2)
    assert logits.flatten().tolist() == pytest.approx([0.1, -CERTAIN, 0, CERTAIN, -0.2, 0.15])
    harden(logits, 2)  # again: the same ones
    assert (logits.abs() == CERTAIN).sum() == 2
    harden(logits, 6)
    assert logits.flatten().tolist() == [CERTAIN, -CERTAIN, CERTAIN, CERTAIN, -CERTAIN, CERTAIN]


def test_the_last_layer_gives_the_expected_sum_and_logits_start_normal():
    method = make(how="clt")
    assert [layer.how for layer in method.layers] == ["clt", "clt", EXPECTATION]
    logits = torch.cat([layer.weight.detach().flatten() for layer in method.layers])
    assert abs(logits.mean()) < 4 / math.sqrt(len(logits))
    assert abs(logits.square().mean() - 1) < 4 * math.sqrt(2 / len(logits))


@pytest.mark.parametrize("moment", [0.0, 1.5, 3.0, 4.25, 9.0])
def test_penalty_and_activations_of_a_moment(moment):
    """12 epochs by layer: 3 soft, then 3 for each of the 3 layers, of which 2 have activations."""
    settings = {"soft": 0.25, "binarize": "by_layer", "regularizer": 0.2, "regularizer_end": 3.0}
    temperatures = {"temperature": 0.9, "temperature_soft": 0.4, "temperature_end": 0.05}
    for kind, T_hard in (("annealed", None), ("hard", None), ("hard", 0.7)):
        method = make(**settings, **temperatures, activations=kind, temperature_hard=T_hard)
        method.plan_for(12)
        soft = min(1, moment / 3)
        total = 0.0
        for i, layer in enumerate(method.layers):
            done = min(1, max(0, moment - 3 * (i + 1)) / 3)
            strength = 0.2 * soft * (3.0 / 0.2) ** done
            mw = np.tanh(layer.weight.detach().double().numpy() / 2)
            total += strength * np.mean(1 - mw**2) / 3
        method.moment = moment
        assert method.penalty().item() == pytest.approx(total, rel=1e-5)

        method.set_activations(moment)
        for i, activation in enumerate(method.activations):
            done = min(1, max(0, moment - 3 * (i + 1)) / 3)
            hard = done == 1 or (kind == "hard" and moment >= 3)
            T = 0.9 * (0.4 / 0.9) ** soft * (1 if hard else (0.05 / 0.4) ** done)
            T = T_hard if hard and T_hard else T
            assert activation.temperature.item() == pytest.approx(T, rel=1e-5)
            assert activation.hardened.item() == hard
            a = torch.tensor([-0.3, 0.0, 0.2], requires_grad=True)
            means = activation(a)
            means.sum().backward()
            slope = np.tanh(a.detach().numpy() / (2 * (T + 1e-4)))
            np.testing.assert_allclose(means.detach(), [-1, 1, 1] if hard else slope, rtol=1e-4)
            np.testing.assert_allclose(a.grad, (1 - slope**2) / (2 * (T + 1e-4)), rtol=1e-3)
    assert make(regularizer=0).penalty().item() == 0


@pytest.mark.parametrize(("every", "end"), [("step", None), ("epoch", None), ("step", 0.0)])
def test_rates_of_a_run(every, end, fit, rates):
    """6 epochs of 2 steps: 2 soft, 4 that harden in one span; batch norm at a tenth."""
    fall = {"lr": 0.2, "lr_end": 0.02, "lr_schedule": "linear", "lr_harden": 0.1, "lr_harden_end": end}
    method = make(**fall, soft=1 / 3, schedule_every=every)
    trainer = fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=6, batch_size=10, callbacks=[rates])
    t = [step / 2 if every == "step" else step // 2 for step in range(12)]
    share = 0.9 if end is None else 1.0
    expected = [0.2 - 0.18 * m / 2 if m < 2 else 0.1 * (1 - share * (m - 2) / 4) for m in t]
    assert rates.seen == pytest.approx(expected, rel=1e-9)
    first, second = trainer.optimizers[0].param_groups
    assert second["lr"] == pytest.approx(0.1 * first["lr"])


class Logits(pl.Callback):
    """All layers' logits at the first step of every epoch, and at its end."""

    def __init__(self) -> None:
        self.starts, self.ends = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.starts.append([layer.weight.detach().clone() for layer in pl_module.layers])

    def on_train_epoch_end(self, trainer, pl_module):
        self.ends.append([layer.weight.detach().clone() for layer in pl_module.layers])


@pytest.mark.parametrize("binarize", ["at_once", "by_layer", "by_part"])
def test_hardened_weights_stay_what_they_are(binarize, fit):
    """Of each layer so many logits are certain as its stage says; they keep their signs, and the others move on."""
    method, logits = make(binarize=binarize, soft=0.25), Logits()
    fit(method, torch.randn(40, 1, 8, 8), torch.arange(40) % 10, epochs=8, callbacks=[logits])
    shares = set()
    for epoch, (starts, ends) in enumerate(zip(logits.starts, logits.ends, strict=True)):
        for i, (before, after) in enumerate(zip(starts, ends, strict=True)):
            certain = before.abs() == CERTAIN
            share = method.plan.hardened(i, epoch)
            assert certain.sum() == round(share * before.numel())
            assert (after[certain] * before[certain].sign() > CERTAIN - 5).all()
            assert (after != before)[~certain].all()
            shares.add(share)
    assert shares == {"at_once": {0}, "by_layer": {0, 1}}.get(binarize, shares)
    assert len(shares) == {"at_once": 1, "by_layer": 2, "by_part": 7}[binarize]
    sizes = [layer.weight.numel() for layer in method.layers]
    expected = sum(method.plan.hardened(i, 7) * size for i, size in enumerate(sizes)) / sum(sizes)
    assert method.measured["hardened"] == pytest.approx(expected, abs=1e-3)


def test_the_loss_is_that_of_the_logits_and_the_penalty(fit):
    class First(pl.Callback):
        def on_before_backward(self, trainer, pl_module, loss):
            self.losses.append(loss.item())

        losses: ClassVar[list[float]] = []

    x, y = torch.randn(20, 1, 8, 8), torch.arange(20) % 10
    method, look = make(regularizer=0.5), First()
    fit(method, x, y, epochs=2, callbacks=[look])
    other = make(regularizer=0.5)
    other.plan_for(2)
    other.set_activations(0)
    assert look.losses[0] == pytest.approx(F.cross_entropy(other.net(x), y).item(), rel=1e-5)
    assert method.tally["train"].take()["loss"] < sum(look.losses) / 2  # a penalty is no part of the curves' loss


def test_an_impossible_schedule_is_refused():
    with pytest.raises(UserError, match=r"^method\.lr_schedule=exponential: "):
        make(lr_schedule="exponential", lr_end=0.0)
