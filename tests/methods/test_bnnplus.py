"""BNN+'s regularizer: its value, its gradient, and that it enters the training loss with its weight λ."""

import math

import numpy as np
import pytest
import torch

from configs.settings import UserError
from methods import METHODS
from methods.binary.layers import binary_layers
from methods.bnnplus import distance_to_alpha
from methods.nets import NETS


def make(**settings):
    torch.manual_seed(0)
    config = METHODS["bnnplus"].Config(**settings)
    return METHODS["bnnplus"](config, NETS["tiny"].Config(width=4), (1, 8, 8), 10, "cross_entropy")


@pytest.mark.parametrize("kind", ["R1", "R2"])
def test_distance_and_its_gradients(kind):
    W = np.array([-1.5, -0.25, 0.125, 0.5, 2.0])
    weight, alpha = torch.tensor(W, requires_grad=True), torch.tensor(0.75, dtype=torch.float64, requires_grad=True)
    away = 0.75 - np.abs(W)
    value = distance_to_alpha(weight, alpha, kind)
    assert value.item() == pytest.approx(np.abs(away).mean() if kind == "R1" else (away**2).mean())
    value.backward()
    outer = np.sign(away) if kind == "R1" else 2 * away
    np.testing.assert_allclose(weight.grad.numpy(), -outer * np.sign(W) / 5)
    assert alpha.grad.item() == pytest.approx(outer.mean())


@pytest.mark.parametrize(("beta", "extra"), [(False, 0), (True, 5)])
def test_every_layer_learns_its_own_alpha_and_if_asked_beta(beta, extra):
    method = make(learn_beta=beta, alpha=0.5)
    assert [layer.quantizer.alpha.item() for layer in binary_layers(method.net).values()] == [0.5] * 3
    plain = sum(
        p.numel()
        for p in METHODS["ste"](
            METHODS["ste"].Config(), NETS["tiny"].Config(width=4), (1, 8, 8), 10, "cross_entropy"
        ).parameters()
    )
    assert sum(p.numel() for p in method.parameters()) == plain + 3 + extra


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_training_adds_the_weighted_sum_over_layers(schedule, fit):
    method = make(strength=0.25, strength_end=0.05, strength_schedule=schedule, lr=1e-30, lr_end=1e-30)
    x, y = torch.randn(20, 1, 8, 8), torch.arange(20) % 10
    fit(method, x, y, epochs=4)  # at this rate nothing moves; the next step's λ is that of the last step
    strength = {"constant": 0.25, "linear": 0.25 - 0.2 * 3 / 4}[schedule]
    sums = [
        np.abs(1 - np.abs(layer.weight.detach().double().numpy())).mean()
        for layer in binary_layers(method.net).values()
    ]
    assert method.penalty().item() == pytest.approx(strength * sum(sums), rel=1e-5)
    method.tally["train"].take()
    method.train()
    total = method.training_step((x, y), 0).item()
    assert total - method.tally["train"].take()["loss"] == pytest.approx(method.penalty().item(), abs=1e-5)


def test_latent_weights_gather_at_alpha(fit):
    method = make(strength=100.0, strength_end=100.0, alpha=0.5, lr=0.02)
    fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=100)
    for layer in binary_layers(method.net).values():
        assert (layer.weight.abs() - layer.quantizer.alpha).abs().mean() < 0.05


def test_no_regularizer_costs_nothing(fit):
    method = make(strength=0.0)
    fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=1)
    assert method.penalty() is None


@pytest.mark.parametrize("swish", [True, False])
def test_a_learned_strength_enters_with_its_logarithm_and_goes_to_one_over_the_distance(swish, fit):
    method = make(learn_strength=True, strength=0.25, lr=0.05, lr_schedule="constant", swish_weights=swish, alpha=2.0)
    layers = list(binary_layers(method.net).values())
    distances = [abs(2 - layer.weight.detach().abs()).mean().item() for layer in layers]
    expected = sum(0.25 * d - math.log(0.25) for d in distances)
    assert method.penalty().item() == pytest.approx(expected, rel=1e-5)
    for layer in layers:  # weights and α stay: λ alone is learned
        layer.weight.requires_grad_(False)
        layer.quantizer.alpha.requires_grad_(False)
    fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=400)
    found = [layer.quantizer.log_strength.exp().item() for layer in layers]
    assert found == pytest.approx([1 / d for d in distances], rel=1e-2)


def test_a_learned_strength_starts_above_zero():
    with pytest.raises(UserError, match=r"method.strength, which must be above 0"):
        make(learn_strength=True, strength=0.0)


@pytest.mark.parametrize(("kind", "statistic", "regularizer"), [("mean", np.mean, "R2"), ("median", np.median, "R1")])
def test_alpha_from_the_weights_makes_the_regularizer_least(kind, statistic, regularizer):
    method = make(alpha_from=kind, regularizer=regularizer, strength=1.0)
    assert not any("alpha" in name for name, _ in method.named_parameters())
    layers = list(binary_layers(method.net).values())
    with torch.no_grad():
        layers[0].weight.view(-1)[0] = 7.0  # so that mean and median differ
    total = 0.0
    for layer in layers:
        size = layer.weight.detach().abs().double().flatten().numpy()
        alphas = [statistic(size), statistic(size) + 0.05, statistic(size) - 0.05]
        values = [np.mean(np.abs(a - size) ** (2 if regularizer == "R2" else 1)) for a in alphas]
        assert values[0] == min(values)
        total += values[0]
    assert method.penalty().item() == pytest.approx(total, rel=1e-3)
