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


def test_the_start_of_the_torch7_code_leaves_a_norm_alone_that_is_not_trained():
    net_config = NETS["mlp"].Config(width=8, depth=1, norm_scale=False)
    method = METHODS["ste"](METHODS["ste"].Config(init="torch7"), net_config, (1, 8, 8), 10, "squared_hinge")
    assert (list(method.net.modules())[-1].weight == 1).all()


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


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_and_weight_decay(nesterov, fit):
    """`v ← μv + g + λW`, `W ← W − lr·v`, or with Nesterov's form `W ← W − lr·(g + λW + μv)`; nothing is clipped."""
    torch.manual_seed(0)
    settings = {"optimizer": "sgd", "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.05, "clip": None}
    method = make("ste", **settings, lr=0.3, lr_schedule="constant").double()
    x, y, steps = torch.randn(20, 1, 8, 8).double(), torch.arange(20) % 10, Steps()
    fit(method, x, y, epochs=6, precision="64-true", callbacks=[steps])
    for layer in FAN_SUMS:
        W, v = steps.weights[0][layer], 0.0
        for t, g in enumerate(steps.gradients):
            decayed = g[layer] + 0.05 * W
            v = 0.9 * v + decayed
            W = W - 0.3 * (decayed + 0.9 * v if nesterov else v)
            np.testing.assert_allclose(steps.weights[t + 1][layer], W, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("decayed", ["all", "weights"])
def test_what_weight_decay_holds_for(decayed, fit):
    method = make("ste", optimizer="sgd", weight_decay=0.1, decayed=decayed, clip=None, lr=0.5, lr_schedule="constant")
    named = dict(method.net.named_parameters())
    for p in named.values():
        p.requires_grad_()
    before = {name: p.detach().clone() for name, p in named.items()}
    gradients = {}

    class Look(pl.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            gradients.update({name: p.grad.clone() for name, p in named.items()})

    fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=1, callbacks=[Look()])
    for name, p in named.items():
        decay = 0.1 if decayed == "all" or p.dim() > 1 else 0.0
        torch.testing.assert_close(p.detach(), before[name] - 0.5 * (gradients[name] + decay * before[name]))
    assert {p.dim() for p in named.values()} >= {1, 2, 4}


@pytest.mark.parametrize("every", ["step", "epoch"])
def test_the_rate_warms_up_and_then_goes_by_its_schedule(every, fit, rates):
    """Four epochs from a fifth, `lr·(e + 1)/5`, then a cosine over the others, `lr·(1 + cos(π(e − 4)/(E − 4)))/2`."""
    method = make("ste", warmup=4, lr=0.2, schedule_every=every)
    fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=10, batch_size=10, callbacks=[rates])
    for step, rate in enumerate(rates.seen):
        e = step // 2 if every == "epoch" else step / 2
        expected = 0.2 * (e + 1) / 5 if e < 4 else 0.1 * (1 + math.cos(math.pi * (e - 4) / 6))
        assert rate == pytest.approx(expected, rel=1e-6)


def test_milestones_count_from_the_start_also_after_a_warm_up():
    method = make(
        "ste", warmup=4, warmup_from=0.25, lr=0.8, lr_schedule="milestones", milestones=[31, 61], factors=[0.1, 0.01]
    )
    method.epochs = 100
    rate = method.schedules()["lr"]
    assert [rate(e / 100) for e in (0, 2, 4, 29.9, 30, 60)] == pytest.approx([0.2, 0.5, 0.8, 0.8, 0.08, 0.008])


def test_a_run_that_is_all_warm_up_ends_at_the_rate():
    method = make("ste", warmup=7, lr=0.5)
    method.epochs = 5
    rate = method.schedules()["lr"]
    assert rate(0) == pytest.approx(0.1)
    assert rate(0.999) == pytest.approx(0.5, rel=2e-3)


@pytest.mark.parametrize(
    ("init", "variance"),
    [("glorot_normal", lambda i, o: 2 / (i + o)), ("kaiming", lambda i, o: 2 / i), ("kaiming_out", lambda i, o: 2 / o)],
)
def test_normal_starts(init, variance):
    torch.manual_seed(0)
    net_config = NETS["tiny"].Config(width=64)
    method = METHODS["ste"](METHODS["ste"].Config(init=init), net_config, (3, 8, 8), 10, "squared_hinge")
    for layer, (fan_in, fan_out) in zip(
        binary_layers(method.net).values(), [(27, 576), (256, 256), (256, 10)], strict=True
    ):
        n, expected = layer.weight.numel(), variance(fan_in, fan_out)
        assert layer.weight.var().item() == pytest.approx(expected, rel=5 * math.sqrt(2 / n))
        assert layer.weight.mean().abs().item() < 5 * math.sqrt(expected / n)


def test_the_start_of_bi_real_nets_code_is_positive():
    weights = [layer.weight for layer in binary_layers(make("ste", init="positive").net).values()]
    assert all(0 <= w.min() < w.max() <= 1e-3 for w in weights)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("ste", {"momentum": 0.9}, r"method\.momentum and method\.nesterov belong to method\.optimizer=sgd"),
        ("ste", {"optimizer": "sgd", "nesterov": True}, r"method\.nesterov=true needs method\.momentum above 0"),
        (
            "ste_shift",
            {"weight_decay": 0.1},
            r"method\.weight_decay belongs to method\.optimizer=adam \| adamax \| sgd",
        ),
        (
            "bnnplus",
            {"learn_strength": True, "strength": 1e-3, "strength_schedule": "linear"},
            r"method\.strength_schedule: .* λ is learned",
        ),
        ("pbnet", {"schedule_every": "epoch_end"}, "schedule_every=epoch_end is not for method=pbnet"),
        ("bernoulli", {"schedule_every": "epoch_end"}, "schedule_every=epoch_end is not for method=bernoulli"),
        ("binaryconnect", {"weights": "stochastic", "weight_gradient": "xnor"}, "stochastic has the gradient"),
    ],
)
def test_settings_that_another_makes_idle_are_refused(name, settings, said):
    with pytest.raises(UserError, match=said):
        make(name, **settings)


@pytest.mark.parametrize("name", ["ste", "binaryconnect"])
def test_the_gradient_of_xnor_net_reaches_the_layers(name):
    torch.manual_seed(0)
    method, plain = make(name, weight_gradient="xnor"), make(name)
    plain.load_state_dict(method.state_dict())
    x, y = torch.randn(20, 1, 8, 8), torch.arange(20) % 10
    for each in (method, plain):
        each.training_step((x, y), 0).backward()
    for layer, reference in zip(binary_layers(method.net).values(), binary_layers(plain.net).values(), strict=True):
        W, g = layer.weight.detach(), reference.weight.grad
        alpha = W.abs().flatten(1).mean(1).view(-1, *[1] * (W.dim() - 1))
        torch.testing.assert_close(layer.weight.grad, g * ((W.abs() < 1) + 1 / (alpha * W[0].numel())))


def test_latent_weights_are_centred_over_input_channels_and_then_clipped(fit):
    torch.manual_seed(0)
    settings = {"center": True, "clip": 0.5, "optimizer": "sgd", "lr": 0.1, "lr_schedule": "constant"}
    net = NETS["vgg_small"].Config(width=4)
    method = METHODS["ste"](METHODS["ste"].Config(**settings), net, (3, 8, 8), 10, "cross_entropy").double()
    steps = Steps()
    x, y = torch.randn(20, 3, 8, 8).double(), torch.arange(20) % 10
    fit(method, x, y, epochs=3, precision="64-true", callbacks=[steps])
    for layer in binary_layers(method.net):
        W = steps.weights[0][layer]
        for t, g in enumerate(steps.gradients):
            W = W - 0.1 * g[layer]
            W = np.clip(W - W.mean(1, keepdims=True), -0.5, 0.5)
            np.testing.assert_allclose(steps.weights[t + 1][layer], W, rtol=1e-9, atol=1e-12)


def test_a_layer_with_one_input_channel_is_not_centred(fit):
    torch.manual_seed(0)
    config = METHODS["ste"].Config(center=True, lr=1e-3, clip=None)
    method = METHODS["ste"](config, NETS["tiny"].Config(width=4), (1, 8, 8), 10, "cross_entropy")
    fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=1)
    first, *others = (layer.weight.detach() for layer in binary_layers(method.net).values())
    assert first.shape[1] == 1
    assert first.abs().min() > 0
    for weight in others:
        assert weight.mean(1).abs().max() < 1e-6
