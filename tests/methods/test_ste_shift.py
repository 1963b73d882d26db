"""The shift-based BinaryNet: its four combinations, its update against scalar NumPy, its evaluation, its presets."""

import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from methods import METHODS
from methods.binary.layers import binary_layers
from methods.binary.shift import ShiftBatchNorm, ap2
from methods.binary.sign import as_signs
from methods.nets import NETS
from methods.optim import ShiftAdaMax
from results.record import load
from training.train import train

FAN_SUMS = {"0": 9 * 1 + 9 * 4, "5": 4 * 2 * 2 + 16, "8": 16 + 10}  # of net=tiny, width 4, on 8×8 digits


def make(method="ste_shift", net=None, **settings):
    torch.manual_seed(0)
    net = net or NETS["tiny"].Config(width=4)
    return METHODS[method](METHODS[method].Config(**settings), net, (1, 8, 8), 10, "squared_hinge")


def digits():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, 1, 8, 8, generator=generator), torch.arange(20) % 10


def numpy_ap2(x):
    return np.sign(x) * 2.0 ** np.rint(np.log2(np.abs(x)))


@pytest.mark.parametrize("norm", ["shift", "batch"])
@pytest.mark.parametrize("optimizer", ["shift_adamax", "adam", "adamax"])
def test_every_norm_with_every_optimizer(norm, optimizer, fit):
    method = make(norm=norm, optimizer=optimizer)
    trainer = fit(method, *digits(), epochs=2)
    norms = [m for m in method.net if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | ShiftBatchNorm)]
    kinds = {isinstance(m, ShiftBatchNorm) for m in norms}
    assert len(norms) == 3
    assert kinds == {norm == "shift"}
    (inner,) = trainer.optimizers[0].optimizers
    kinds = {"shift_adamax": ShiftAdaMax, "adam": torch.optim.Adam, "adamax": torch.optim.Adamax}
    assert type(inner) is kinds[optimizer]
    assert all(group["lr"] > 0 for group in inner.param_groups)


def test_without_shifts_it_is_ste_bit_for_bit(fit):
    settings = {"lr": 0.01, "glorot_scale": True}
    plain = make("ste", **settings)
    ours = make(norm="batch", optimizer="adam", glorot_ap2=False, **settings)
    for method in (plain, ours):
        fit(method, *digits(), epochs=3)
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), ours.state_dict().values(), strict=True))


class Steps(pl.Callback):
    """The net's parameters around each step, and the gradients between."""

    def __init__(self) -> None:
        self.values, self.gradients = [], []

    def look(self, net):
        self.values.append({n: p.detach().numpy().copy() for n, p in net.named_parameters()})

    def on_train_start(self, trainer, pl_module):
        self.look(pl_module.net)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.gradients.append({n: p.grad.numpy().copy() for n, p in pl_module.net.named_parameters()})

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.look(pl_module.net)


@pytest.mark.parametrize(("glorot", "rounded"), [(True, True), (True, False), (False, True)])
def test_update_is_that_of_the_paper(glorot, rounded, fit):
    method = make(glorot_scale=glorot, glorot_ap2=rounded, clip=0.75, lr_end=2**-9, lr_schedule="linear").double()
    x, y, steps = digits()[0].double(), digits()[1], Steps()
    fit(method, x, y, epochs=6, precision="64-true", callbacks=[steps])

    for name in steps.values[0]:
        layer, _, kind = name.partition(".")
        latent = layer in FAN_SUMS and kind == "weight"
        scale = 1 / math.sqrt(1.5 / FAN_SUMS[layer]) if latent and glorot else 1.0
        scale = 2.0 ** round(math.log2(scale)) if rounded else scale
        W = steps.values[0][name]
        m, v = np.zeros_like(W), np.zeros_like(W)
        for t in range(1, 7):
            g = steps.gradients[t - 1][name]
            lr = 2**-6 + (2**-9 - 2**-6) * (t - 1) / 6
            m = 0.9 * m + 0.1 * g
            v = np.maximum(numpy_ap2(np.maximum(np.maximum(0.999 * v, np.abs(g)), 1e-300)), 2.0**-27)
            W = W - numpy_ap2(lr * scale / (1 - 0.9**t)) * m / v
            W = np.clip(W, -0.75, 0.75) if latent else W
            np.testing.assert_allclose(steps.values[t][name], W, rtol=1e-9, atol=1e-12)
        assert (np.abs(W) == 0.75).any() == latent  # the clipping was put to the test


def test_the_glorot_scale_is_rounded_where_asked(fit):
    for rounded in (True, False):
        method = make(glorot_ap2=rounded)
        optimizer = fit(method, *digits(), epochs=1).optimizers[0]
        scales = {id(g["params"][0]): g["lr_scale"] for g in optimizer.param_groups}
        for name, layer in binary_layers(method.net).items():
            exact = math.sqrt(FAN_SUMS[name] / 1.5)
            assert scales[id(layer.weight)] == pytest.approx(2 ** round(math.log2(exact)) if rounded else exact)


def test_evaluation_by_hand_needs_signs_and_shifts_alone(fit):
    method = make(net=NETS["mlp"].Config(width=12, depth=2), statistic="inverse_std")
    x, y = digits()
    fit(method, x, y, epochs=12, batch_size=10)
    state = {name: value.double().numpy() for name, value in method.net.state_dict().items()}
    a = x.flatten(1).double().numpy()
    for layer, norm in (("1", "2"), ("4", "5"), ("7", "8")):
        w = np.where(state[f"{layer}.weight"] >= 0, 1.0, -1.0)
        scale = numpy_ap2(state[f"{norm}.running_inverse_std"]) * numpy_ap2(state[f"{norm}.weight"])
        z = (a @ w.T - state[f"{norm}.running_mean"]) * scale + state[f"{norm}.bias"]
        a = np.where(z >= 0, 1.0, -1.0)
    method.eval()
    with torch.no_grad():
        np.testing.assert_allclose(method.predict(x), z, rtol=1e-4, atol=1e-4)
        with as_signs(method.net):
            np.testing.assert_allclose(method.predict(x), z, rtol=1e-4, atol=1e-4)
    assert z.std() > 0.1


def test_shift_norm_without_scale_keeps_gamma_at_one(fit):
    method = make(net=NETS["vgg"].Config(width=2, norm_scale=False))
    fit(method, *digits(), epochs=2)
    norms = [m for m in method.net if isinstance(m, ShiftBatchNorm)]
    assert len(norms) == 9
    assert all(torch.equal(norm.weight, torch.ones_like(norm.weight)) for norm in norms)
    assert all((norm.bias != 0).any() for norm in norms)


def test_options_reach_their_parts(fit):
    method = make(statistic="variance", write_back=False, activation="stochastic")
    x, y = digits()
    optimizer = fit(method, x, y, epochs=2).optimizers[0]
    assert all(group["write_back"] is False for group in optimizer.param_groups)
    assert all(hasattr(m, "running_var") for m in method.net if isinstance(m, ShiftBatchNorm))
    v = optimizer.optimizers[0].state[method.net[0].weight]["v"]
    assert not torch.equal(v, ap2(v))
    method.train()
    assert not torch.equal(method.net(x), method.net(x))
    method.eval()
    assert torch.equal(method.net(x), method.net(x))


@pytest.mark.slow
def test_a_compiled_run_learns_like_an_eager_one(configure):
    errors = []
    for compiled in ("true", "false"):
        run = configure("method=ste_shift", "epochs=10", f"compile={compiled}", "rerun=true")
        train(run)
        record = load(run.record_path)
        assert record.environment["compiled"] == (compiled == "true")
        errors.append(record.validation["error"])
    assert max(errors) < 30
    assert abs(errors[0] - errors[1]) < 10


def groups_of(method, fit):
    """The optimizer's groups after one step."""
    return fit(method, *digits(), epochs=1).optimizers[0].param_groups


def test_the_torch7_code_scales_gamma_and_clips_all(fit):
    method = make(glorot_norm=True, clip_norm=True, norm_output="batch", betas="paper", lr=8.0)
    groups = groups_of(method, fit)
    norms = [m for m in method.net if isinstance(m, nn.BatchNorm1d | ShiftBatchNorm)]
    assert [isinstance(n, ShiftBatchNorm) for n in norms] == [True, True, False]
    scales = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    for norm in norms:
        assert scales[id(norm.weight)] == pytest.approx((norm.weight.numel() / 1.5) ** 0.5)
        assert scales[id(norm.bias)] == 1
    assert all(group["clip"] == 1 and group["betas"] == (0.875, 0.9990234375) for group in groups)
    assert [n.bias.abs().max() for n in norms] == [1, 1, 1]


def test_without_that_gamma_and_beta_are_free(fit):
    method = make(lr=8.0)
    groups = groups_of(method, fit)
    assert ["clip" in group for group in groups] == [False, True, True, True]
    assert groups[0]["lr_scale"] == 1
    assert groups[0]["betas"] == (0.9, 0.999)
    norms = [m for m in method.net if isinstance(m, ShiftBatchNorm)]
    assert len(norms) == 3
    assert max(n.bias.abs().max() for n in norms) > 1
