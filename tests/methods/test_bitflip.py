"""What bit-flip methods tell of their rule: the moment that is compared with τ, and τ itself."""

import numpy as np
import pytest
import torch

from methods import METHODS
from methods.binary.layers import binary_layers
from methods.nets import NETS
from methods.optim.bop2nd import CORRECTIONS


@pytest.mark.parametrize(("name", "correction"), [("bop", ""), *(("bop2nd", correction) for correction in CORRECTIONS)])
def test_the_moment_that_is_compared_with_the_threshold(name, correction, fit):
    torch.manual_seed(0)
    config = METHODS[name].Config(gamma=0.1, **({"correction": correction, "sigma": 0.2} if correction else {}))
    steps = 4
    a, b = {"unbiased": (0.1, 0.2), "adam": (1 - 0.9**steps, 1 - 0.8**steps)}.get(correction, (1, 1))
    method = METHODS[name](config, NETS["tiny"].Config(width=4), (3, 8, 8), 10, "cross_entropy")
    fit(method, torch.randn(20, 3, 8, 8), torch.arange(20) % 10, epochs=2, batch_size=10)
    for layer in binary_layers(method.net).values():
        state = {key: np.asarray(value) for key, value in method.flipper.state[layer.weight].items() if key in "mv"}
        index = torch.tensor([layer.weight.numel() - 1, 0, 7, 7])
        expected = []
        for i in index.tolist():
            place = np.unravel_index(i, tuple(layer.weight.shape))
            root = np.sqrt(state["v"][place] / b) + 1e-10 if name == "bop2nd" else 1
            expected.append(state["m"][place] / a / root)
        assert method.flip_moment(layer.weight, index).tolist() == pytest.approx(expected, rel=1e-5)
        assert expected[0] != expected[1]


def test_the_threshold_is_that_of_the_next_step_and_never_zero(fit):
    schedule = {
        "threshold": 1e-2,
        "threshold_end": 1e-4,
        "threshold_schedule": "exponential",
        "schedule_every": "epoch",
    }
    x, y = torch.randn(20, 1, 8, 8), torch.arange(20) % 10
    for settings, expected in ((schedule, 1e-3), ({"threshold": 0.0}, 1e-30)):
        method = METHODS["bop"](
            METHODS["bop"].Config(**settings), NETS["tiny"].Config(), (1, 8, 8), 10, "cross_entropy"
        )
        trainer = fit(method, x, y, epochs=2, batch_size=10)
        assert method.threshold() == pytest.approx(expected)
        assert trainer.optimizers[0].param_groups[0]["threshold"] == pytest.approx(expected, abs=1e-20)


def test_a_threshold_in_units_of_the_root_of_gamma(fit):
    settings = {"gamma": 0.04, "gamma_end": 0.0004, "gamma_schedule": "exponential", "schedule_every": "epoch"}
    config = METHODS["bop2nd"].Config(threshold=0.5, threshold_unit="root_gamma", **settings)
    method = METHODS["bop2nd"](config, NETS["tiny"].Config(), (1, 8, 8), 10, "cross_entropy")
    trainer = fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=2, batch_size=10)
    assert method.threshold() == pytest.approx(0.5 * 0.004**0.5)
    assert trainer.optimizers[0].param_groups[0]["threshold"] == pytest.approx(0.5 * 0.004**0.5)


@pytest.mark.parametrize("name", ["bop", "bop2nd"])
def test_activations_can_have_the_gradient_of_bi_real_net(name):
    config = METHODS[name].Config(activation_gradient="approxsign")
    parts = METHODS[name](config, NETS["tiny"].Config(), (1, 8, 8), 10, "cross_entropy").parts()
    x = torch.tensor([-2.0, -0.5, 0.0, 0.25], requires_grad=True)
    parts.activation()(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 2, 1.5]


@pytest.mark.parametrize("name", ["bop", "bop2nd"])
def test_weight_decay_holds_for_real_weights_only(name, fit):
    """Adam's: the first and the last layer have it; ±1 weights, batch norm and biases have none."""
    torch.manual_seed(0)
    settings = {"weight_decay": 0.5, "lr": 1e-3, "lr_schedule": "constant"}
    net = NETS["vgg_small"].Config(width=4)
    method = METHODS[name](METHODS[name].Config(**settings), net, (1, 8, 8), 10, "cross_entropy")
    trainer = fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=1)
    binary = {id(layer.weight) for layer in binary_layers(method.net).values()}
    decays = {id(p): g.get("weight_decay", 0.0) for g in trainer.optimizers[0].param_groups for p in g["params"]}
    expected = {id(p): 0.5 if p.dim() > 1 and id(p) not in binary else 0.0 for p in method.net.parameters()}
    assert decays == expected
    assert sum(value > 0 for value in decays.values()) == 2
