"""Latent weights: their start, and their update against the paper's formula with a NumPy Adam in float64."""

import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from configs.settings import UserError
from methods import METHODS
from methods.binary.layers import binary_layers
from methods.nets import NETS

LATENT = ["ste", "binaryconnect"]
FAN_SUMS = {"0": 9 * 1 + 9 * 4, "5": 4 * 2 * 2 + 16, "8": 16 + 10}  # of net=tiny, width 4, on 8×8 digits


def make(name, **settings):
    return METHODS[name](METHODS[name].Config(**settings), NETS["tiny"].Config(width=4), (1, 8, 8), 10, "squared_hinge")


class Steps(pl.Callback):
    """Each step's gradients, and the latent weights around it."""

    def __init__(self) -> None:
        self.weights, self.gradients = [], []

    def look(self, method):
        return {name: layer.weight.detach().numpy().copy() for name, layer in binary_layers(method.net).items()}

    def on_train_start(self, trainer, pl_module):
        self.weights.append(self.look(pl_module))

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.gradients.append(
            {n: layer.weight.grad.numpy().copy() for n, layer in binary_layers(pl_module.net).items()}
        )

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.weights.append(self.look(pl_module))


@pytest.mark.parametrize("name", LATENT)
@pytest.mark.parametrize("glorot", [True, False])
@pytest.mark.parametrize("clip", [1.0, 0.25])
def test_update_is_that_of_the_paper(name, glorot, clip, fit):
    torch.manual_seed(0)
    method = make(name, glorot_scale=glorot, clip=clip, lr=0.01, lr_end=0.001, lr_schedule="linear").double()
    x, y, steps = torch.randn(20, 1, 8, 8).double(), torch.arange(20) % 10, Steps()
    fit(method, x, y, epochs=5, precision="64-true", callbacks=[steps])
    assert len(steps.gradients) == 5

    for layer, fan_sum in FAN_SUMS.items():
        scale = 1 / math.sqrt(1.5 / fan_sum) if glorot else 1.0
        W = steps.weights[0][layer]
        m, v = np.zeros_like(W), np.zeros_like(W)
        for t in range(1, 6):
            g = steps.gradients[t - 1][layer]
            lr = 0.01 + (0.001 - 0.01) * (t - 1) / 5
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g**2
            adam = W - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            W = np.clip(W + scale * (adam - W), -clip, clip)
            np.testing.assert_allclose(steps.weights[t][layer], W, rtol=1e-9, atol=1e-12)
        assert (np.abs(W) == clip).any()  # so that the clipping was put to the test


def test_only_latent_weights_are_scaled_and_clipped(fit):
    torch.manual_seed(0)
    method = make("ste", glorot_scale=True, clip=0.125, lr=0.01)
    trainer = fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=1)
    latent = {id(layer.weight) for layer in binary_layers(method.net).values()}
    for group in trainer.optimizers[0].param_groups:
        of_layers = {id(p) in latent for p in group["params"]}
        assert of_layers == {"clip" in group}
        assert ("clip" in group) == (group.get("lr_scale", 1.0) != 1.0)
    assert min(m.weight.min() for m in method.net if isinstance(m, torch.nn.BatchNorm1d)) > 0.9  # γ starts at 1


@pytest.mark.parametrize("name", LATENT)
def test_uniform_start(name):
    method = METHODS[name](METHODS[name].Config(), NETS["mlp"].Config(width=256), (1, 16, 16), 10, "squared_hinge")
    weight = torch.cat([layer.weight.detach().flatten() for layer in binary_layers(method.net).values()]).double()
    n = len(weight)
    assert -1 <= weight.min() < -0.999
    assert 0.999 < weight.max() <= 1
    assert abs(weight.mean()) < 4 * math.sqrt(1 / 3 / n)
    assert abs(weight.square().mean() - 1 / 3) < 4 * math.sqrt((1 / 5 - 1 / 9) / n)  # variance of x² where x ~ U(−1, 1)


def test_glorot_start():
    for layer, fan_sum in FAN_SUMS.items():
        weight = binary_layers(make("ste", init="glorot").net)[layer].weight
        bound = math.sqrt(6 / fan_sum)
        assert 0.8 * bound < weight.abs().max() <= bound


def test_stochastic_weights_evaluate_real_and_stochastic_activations_binary():
    rows = {
        ("binaryconnect", "weights", "deterministic"): (True, False),
        ("binaryconnect", "weights", "stochastic"): (False, False),
        ("ste", "activation", "deterministic"): (True, True),
        ("ste", "activation", "stochastic"): (True, True),
    }
    for (name, setting, value), expected in rows.items():
        method = make(name, **{setting: value})
        assert (method.binary_weights, method.binary_activations) == expected
    real = METHODS["real"](METHODS["real"].Config(), NETS["tiny"].Config(), (1, 8, 8), 10, "squared_hinge")
    assert (real.binary_weights, real.binary_activations) == (False, False)


@pytest.mark.parametrize("settings", [{"weights": "stochastic"}, {"weights": "deterministic"}])
def test_training_draws_only_where_it_is_stochastic(settings):
    torch.manual_seed(0)
    method = make("binaryconnect", **settings)
    x = torch.randn(20, 1, 8, 8)
    assert torch.equal(method.net(x), method.net(x)) == (settings["weights"] == "deterministic")
    method.eval()
    assert torch.equal(method.net(x), method.net(x))


def adamax(gradients, lr):
    """Kingma & Ba's AdaMax, with ε as torch adds it: the move of each step."""
    m, u, moves = 0.0, 0.0, []
    for t, g in enumerate(gradients, 1):
        m, u = 0.9 * m + 0.1 * g, np.maximum(0.999 * u, np.abs(g) + 1e-8)
        moves.append(-lr / (1 - 0.9**t) * m / u)
    return moves


@pytest.mark.parametrize("optimizer", ["adamax", "sgd"])
@pytest.mark.parametrize("glorot", [True, False])
def test_other_optimizers_step_and_scale_as_their_sources_do(optimizer, glorot, fit):
    torch.manual_seed(0)
    settings = {"optimizer": optimizer, "glorot_scale": glorot, "lr_schedule": "constant", "lr": 1e-3, "clip": 0.5}
    method = make("ste", **settings).double()
    x, y, steps = torch.randn(20, 1, 8, 8).double(), torch.arange(20) % 10, Steps()
    fit(method, x, y, epochs=4, precision="64-true", callbacks=[steps])
    for layer, fan_sum in FAN_SUMS.items():
        scale = math.sqrt(fan_sum / 1.5) ** (2 if optimizer == "sgd" else 1) if glorot else 1.0
        gradients = [g[layer] for g in steps.gradients]
        moves = adamax(gradients, 1e-3) if optimizer == "adamax" else [-1e-3 * g for g in gradients]
        W = steps.weights[0][layer]
        for t, move in enumerate(moves):
            W = np.clip(W + scale * move, -0.5, 0.5)
            np.testing.assert_allclose(steps.weights[t + 1][layer], W, rtol=1e-5, atol=1e-7)
        assert not np.array_equal(W, steps.weights[0][layer])


def test_weights_that_are_not_clipped_leave_the_interval(fit):
    method = make("ste", clip=None, lr=0.5)
    fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=8)
    assert max(layer.weight.abs().max() for layer in binary_layers(method.net).values()) > 1.5


def test_the_start_of_the_torch7_code():
    torch.manual_seed(0)
    net_config = NETS["tiny"].Config(width=64)
    method = METHODS["ste"](METHODS["ste"].Config(init="torch7"), net_config, (3, 8, 8), 10, "squared_hinge")
    conv, hidden, last = (layer.weight for layer in binary_layers(method.net).values())
    for weight, bound in ((conv, 1 / math.sqrt(9 * 3)), (hidden, 1), (last, 1)):
        assert 0.99 * bound < weight.abs().max() <= bound
        assert weight.mean().abs() < 0.1 * bound
    norms = [m for m in method.net if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert all((n.weight == 1).all() for n in norms[:-1])
    assert 0 <= norms[-1].weight.min() < norms[-1].weight.max() <= 1


@pytest.mark.parametrize("role", ["weight", "activation"])
@pytest.mark.parametrize("kind", ["identity", "hardtanh"])
def test_masks_of_the_pseudo_gradients(role, kind):
    parts = make("ste", **{f"{role}_gradient": kind}).parts()
    x = torch.tensor([-1.5, -1.0, -0.0, 0.5, 1.0, 2.0], requires_grad=True)
    y = getattr(parts, role)()(x)
    y.backward(torch.arange(1.0, 7))
    assert y.tolist() == [-1, -1, 1, 1, 1, 1]
    assert x.grad.tolist() == ([1, 2, 3, 4, 5, 6] if kind == "identity" else [0, 2, 3, 4, 5, 0])


def test_the_stochastic_activation_has_one_gradient():
    with pytest.raises(UserError, match="stochastic has the gradient"):
        make("ste", activation="stochastic", activation_gradient="identity")
