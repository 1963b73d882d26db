"""Methods whose pseudo-gradient follows a schedule: what their quantizers hold at each step, the papers' curves."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torch._dynamo.testing import CompileCounter

from methods import METHODS
from methods.binary.sign import Quantizer
from methods.nets import NETS

EPOCHS, STEPS = 4, 3  # of the runs below
SETTINGS = {
    "irnet": {"steepness": 0.02, "steepness_end": 20.0},
    "recu": {"quantile": 0.8, "quantile_end": 0.95},
    "reste": {"root_end": 4.0},
}
CURVES = {  # the value at epoch e of E, as the sources' scripts have it
    "irnet": ("steepness", lambda e, E: 10 ** (math.log10(0.02) + (math.log10(20) - math.log10(0.02)) / E * e)),
    "recu": ("quantile", lambda e, E: (A := 0.15 / (math.e - 1)) * math.e ** (e / E) + 0.8 - A),
    "reste": ("root", lambda e, E: 1 + (1 - math.cos(e / E * math.pi * 0.5)) * (4 - 1)),
}


def make(name, **settings):
    torch.manual_seed(0)
    config = METHODS[name].Config(**SETTINGS[name], **settings)
    return METHODS[name](config, NETS["tiny"].Config(width=4), (1, 8, 8), 10, "cross_entropy")


class Held(pl.Callback):
    """What each quantizer holds when the gradients of a step are there."""

    def __init__(self, buffer):
        self.buffer, self.values = buffer, []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        quantizers = [m for m in pl_module.net.modules() if isinstance(m, Quantizer)]
        self.values.append([getattr(q, self.buffer).item() for q in quantizers if hasattr(q, self.buffer)])


@pytest.mark.parametrize("every", ["step", "epoch"])
@pytest.mark.parametrize("name", CURVES)
def test_every_quantizer_has_the_value_of_the_present_step(name, every, fit):
    buffer, curve = CURVES[name]
    held = Held(buffer)
    fit(
        make(name, schedule_every=every),
        torch.randn(30, 1, 8, 8),
        torch.arange(30) % 10,
        epochs=EPOCHS,
        batch_size=10,
        callbacks=[held],
    )
    assert len(held.values) == EPOCHS * STEPS
    for step, values in enumerate(held.values):
        epoch = step / STEPS if every == "step" else step // STEPS
        assert len(values) == (3 if name == "recu" else 5)  # weights, and but for ReCU two activations
        assert values == pytest.approx([curve(epoch, EPOCHS)] * len(values), rel=1e-6)


def test_curves_of_the_papers():
    """ReCU's τ: .85, .903 halfway, .99; ReSTE's o: 1, 1.586 halfway, 3; IR-Net's t: .1, 1 halfway, 10."""
    expected = {"recu": ("quantile", [0.85, 0.9029, 0.99]), "reste": ("root", [1, 1.5858, 3])}
    expected["irnet"] = ("steepness", [0.1, 1, 10])
    for name, (buffer, values) in expected.items():
        schedule = METHODS[name](
            METHODS[name].Config(), NETS["tiny"].Config(width=4), (1, 8, 8), 10, "cross_entropy"
        ).schedules()[buffer]
        assert [schedule(t) for t in (0, 0.5, 1)] == pytest.approx(values, abs=1e-4)


@pytest.mark.parametrize("name", CURVES)
def test_a_new_value_compiles_nothing_anew_and_reaches_the_gradient(name):
    torch.compiler.reset()  # what other tests compiled counts towards its limit
    method, counter = make(name), CompileCounter()
    net = torch.compile(method.net, backend=counter, dynamic=False)
    x, y, gradients = torch.randn(20, 1, 8, 8), torch.arange(20) % 10, []
    for value in (0.9, 0.95, 0.97):
        method.scheduled[CURVES[name][0]] = {"recu": value, "irnet": 10 * value, "reste": 3 * value}[name]
        method.on_train_batch_start((x, y), 0)
        method.zero_grad()
        method.loss(net(x), y).backward()
        gradients.append(method.net[0].weight.grad.clone())
    assert counter.frame_count == 1
    assert not torch.equal(gradients[0], gradients[1])
    assert not torch.equal(gradients[1], gradients[2])


@pytest.mark.parametrize("name", CURVES)
def test_evaluation_does_not_depend_on_it(name):
    method = make(name).eval()
    x = torch.randn(20, 1, 8, 8)
    before = method.predict(x)
    for buffer in method.annealed:
        method.scheduled[buffer] = 0.97
    method.on_train_batch_start((x, None), 0)
    assert torch.equal(method.predict(x), before)


COMPILED = [
    *((name, SETTINGS[name]) for name in SETTINGS),
    *(("ste", {"weight_gradient": kind}) for kind in ("xnor", "xnor_exact", "birealnet")),
    ("bop", {"activation_gradient": "approxsign"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), COMPILED)
def test_the_compiled_pass_has_the_gradients_of_the_eager_one(name, settings):
    torch.compiler.reset()
    torch.manual_seed(0)
    net = NETS["tiny"].Config(width=8)
    method = METHODS[name](METHODS[name].Config(**settings), net, (1, 8, 8), 10, "cross_entropy")
    x, y, gradients = torch.randn(20, 1, 8, 8), torch.arange(20) % 10, []
    for compiled in (False, True):
        if compiled:
            method.compile_training()
        method.zero_grad()
        method.training_step((x, y), 0).backward()
        gradients.append([p.grad for p in method.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    assert all(gradient.any() for gradient in gradients[0])
