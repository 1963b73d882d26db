"""What the benchmark expects of every method. A new row of METHODS is put to these tests by being a row."""

import math
import re
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods import METHODS
from methods.base import Method, MethodConfig
from methods.binary.layers import binary_layers
from methods.binary.sign import Quantizer, as_signs
from methods.bitflip import BitFlipMethod
from methods.nets import NETS
from results.record import load
from training.train import train

EXAMPLES, SIDE, CLASSES = 60, 8, 10
# Settings with which a method learns within 150 steps, where its defaults are meant for many more.
QUICK: dict[str, dict[str, Any]] = {"pbop": {"scaler": 0.1, "scaler_end": 0.01, "gamma": 0.1, "gamma_end": 0.1}}


@pytest.fixture(params=METHODS)
def name(request) -> str:
    return request.param


def make(name: str, seed: int = 0, **settings: Any) -> Method:
    torch.manual_seed(seed)
    net = NETS["tiny"].Config(width=8)
    return METHODS[name](METHODS[name].Config(**settings), net, (1, SIDE, SIDE), CLASSES, "cross_entropy")


def digits_like(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten fixed patterns of dark and bright pixels, each shown with noise: x in [−1, 1], and the pattern's number."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randint(2, (CLASSES, 1, SIDE, SIDE), generator=generator) * 1.2 - 0.6
    y = torch.arange(EXAMPLES) % CLASSES
    x = patterns[y] + 0.2 * torch.randn(EXAMPLES, 1, SIDE, SIDE, generator=generator)
    return x.clamp(-1, 1), y


def evaluate(method: Method, x: torch.Tensor) -> torch.Tensor:
    method.eval()
    with torch.no_grad():
        return method.predict(x)


@pytest.fixture
def trained(name, fit) -> Method:
    method = make(name)
    fit(method, *digits_like(), epochs=4, batch_size=20)
    return method


def test_it_learns_a_small_batch_by_heart(name, fit):
    method = make(name, **QUICK.get(name, {}))
    x, y = digits_like()
    error_before = (evaluate(method, x).argmax(1) != y).double().mean().item()
    method.train()
    fit(method, x, y, epochs=150)
    assert math.isfinite(method.tally["train"].take()["loss"])
    logits = evaluate(method, x)
    assert error_before > 0.6
    assert (logits.argmax(1) != y).double().mean().item() < 0.2
    assert F.cross_entropy(logits, y).item() < 1  # knowing nothing: 2.3


def bare(net, config, parts, input_shape, classes):
    """Binary layers and signs alone, without batch norm."""
    first, output = parts.linear("first", math.prod(input_shape), 16), parts.linear("output", 16, classes)
    nn.Sequential.__init__(net, nn.Flatten(), first, parts.activation(), output)


def test_a_net_without_batch_norm_trains(name, fit, monkeypatch):
    if name == "pbnet":
        pytest.skip("has its logits from the batch norm of the last layer")
    monkeypatch.setattr(NETS["tiny"], "__init__", bare)
    method = make(name)
    fit(method, *digits_like(), epochs=1)
    assert evaluate(method, digits_like()[0]).isfinite().all()


def test_every_parameter_is_in_exactly_one_group(name, fit):
    method = make(name)
    trainer = fit(method, *digits_like(), epochs=1)
    assert len(trainer.optimizers) == 1
    grouped = [id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters())
    for layer in binary_layers(method.net).values():
        (group,) = (g for g in trainer.optimizers[0].param_groups if any(p is layer.weight for p in g["params"]))
        assert all(any(p is other.weight for other in binary_layers(method.net).values()) for p in group["params"])


def test_weights_read_back_predict_the_same(name, trained, tmp_path):
    torch.save(trained.net.state_dict(), tmp_path / "weights.pt")
    other = make(name, seed=1)
    x, _ = digits_like(seed=5)
    expected = evaluate(trained, x)
    assert not torch.equal(evaluate(other, x), expected)
    other.net.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(evaluate(other, x), expected)


def test_evaluation_is_deterministic_and_leaves_the_net_alone(trained):
    x, _ = digits_like(seed=5)
    state = {k: v.clone() for k, v in trained.net.state_dict().items()}
    assert torch.equal(evaluate(trained, x), evaluate(trained, x))
    torch.testing.assert_close(evaluate(trained, x[:7]), evaluate(trained, x)[:7])  # whatever else is in the batch
    assert all(torch.equal(v, state[k]) for k, v in trained.net.state_dict().items())


def seen_in_evaluation(method: Method) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What the quantizers of the layers' weights, and those of the activations, give in evaluation."""
    of_weights = {id(layer.quantizer): name for name, layer in binary_layers(method.net).items()}
    weights, activations = {}, {}

    def look(place, key):
        return lambda module, inputs, output: place.__setitem__(key, output)

    for name, module in method.net.named_modules():
        if isinstance(module, Quantizer):
            place, key = (weights, of_weights[id(module)]) if id(module) in of_weights else (activations, name)
            module.register_forward_hook(look(place, key))
    evaluate(method, digits_like(seed=5)[0])
    return weights, activations


def is_binary(tensors: dict[str, torch.Tensor]) -> bool:
    return all(set(t.unique().tolist()) <= {-1.0, 1.0} for t in tensors.values())


def test_a_net_that_says_it_is_binary_computes_with_signs(trained):
    weights, activations = seen_in_evaluation(trained)
    assert len(weights) == 3
    assert len(activations) == 2
    assert is_binary(weights) == trained.binary_weights
    assert is_binary(activations) == trained.binary_activations


def test_the_fully_binarized_net_computes_with_signs(trained):
    with as_signs(trained.net):
        weights, activations = seen_in_evaluation(trained)
    assert is_binary(weights)
    assert is_binary(activations)


def test_other_ways_to_evaluate_leave_the_usual_one_as_it_was(trained):
    x, _ = digits_like(seed=5)
    expected = evaluate(trained, x)
    for variant, context in trained.variants():
        assert re.fullmatch(r"[a-z]+", variant)
        with context:
            other = evaluate(trained, x)
        assert other.shape == expected.shape
        assert not torch.equal(other, expected)
        assert torch.equal(evaluate(trained, x), expected)


def test_same_seed_same_weights(name, fit):
    def weights(seed):
        method = make(name, seed)
        start = {k: v.clone() for k, v in method.net.state_dict().items()}
        torch.manual_seed(seed)
        fit(method, *digits_like(), epochs=3, batch_size=20)
        return start, method.net.state_dict()

    (start, end), (start_again, end_again), (other_start, _) = weights(3), weights(3), weights(4)
    assert all(torch.equal(start[k], start_again[k]) for k in start)
    assert all(torch.equal(end[k], end_again[k]) for k in end)
    layers = [f"{layer}.weight" for layer in binary_layers(make(name).net)]
    assert not any(torch.equal(start[k], other_start[k]) for k in layers)


def test_it_trains_and_predicts_channels_last(name, fit):
    torch.manual_seed(0)
    config, net_config = METHODS[name].Config(**QUICK.get(name, {})), NETS["tiny"].Config(width=8)
    method = METHODS[name](config, net_config, (3, SIDE, SIDE), CLASSES, "cross_entropy")
    method.net.to(memory_format=torch.channels_last)
    x = torch.randn(EXAMPLES, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    fit(method, x, torch.arange(EXAMPLES) % CLASSES, epochs=4, batch_size=20)
    layers = list(binary_layers(method.net).values())
    weight = layers[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert all(layer.weight.isfinite().all() for layer in layers)
    if isinstance(method, BitFlipMethod):
        every, state = torch.arange(weight.numel()), method.flipper.state[weight]
        moments = method.flip_moment(weight, every)
        for moment in method.flipper.moments:
            assert not state[moment].is_contiguous()
            state[moment] = state[moment].contiguous()
        assert torch.equal(method.flip_moment(weight, every), moments)
        assert moments.unique().numel() > 1
    logits = evaluate(method, x)
    method.net.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(evaluate(method, x.contiguous()), logits, rtol=1e-4, atol=1e-4)


def test_settings_are_explained(name):
    method = METHODS[name]
    assert issubclass(method.Config, MethodConfig)
    assert method.Config().name == name
    first, *rest = (method.__doc__ or "").splitlines()
    assert 10 < len(first) < 120
    assert rest == [] or rest[0] == ""
    for field in fields(method.Config):
        assert field.name == "name" or len(field.metadata.get("help", "")) > 10, field.name


def test_record_of_a_run(name, configure):
    run = configure(f"method={name}", "epochs=2", "limit_train=300")
    train(run)
    record = load(run.record_path)
    assert (record.status, record.error) == ("done", None)
    assert record.config["method"]["name"] == name
    assert {f.name for f in fields(METHODS[name].Config)} == set(record.config["method"])

    model = record.model
    weights = 9 * 8 + 32 * 32 + 32 * 10
    assert model["binary_parameters"] == weights
    assert model["parameters"] >= weights + 2 * (8 + 32 + 10)
    assert model["reconstruction"] == METHODS[name].reconstruction
    assert model["binary_weights"] == make(name).binary_weights
    assert model["binary_activations"] == make(name).binary_activations

    for split in (record.validation, record.test):
        assert {"error", "loss", "last_error", "binarized_error", "binarization_gap"} <= set(split)
        assert all(0 <= split[key] <= 100 for key in ("error", "last_error", "binarized_error"))
        assert split["binarization_gap"] == pytest.approx(split["binarized_error"] - split["error"], abs=1e-4)
        if model["binary_weights"] and model["binary_activations"]:
            assert split["binarization_gap"] == 0
    columns = {"epoch", "train_loss", "train_error", "val_loss", "val_error", "lr", "flip_rate", "seconds", "elapsed"}
    assert columns <= set(record.curves)
    assert all(len(column) == 2 for column in record.curves.values())
    assert set(record.diagnostics) == set(binary_layers(make(name).net))
    for rows in record.diagnostics.values():
        quantities = {"flip_rate", "flip_flop", "never_flipped", "net_flips", "agreement"}
        assert quantities | ({"saturation"} if METHODS[name].latent else set()) <= set(rows)
        shares = [value for key in quantities for value in rows[key]]
        assert len(shares) == 2 * len(quantities)
        assert all(0 <= share <= 1 for share in shares)
    assert record.cost["images_per_second"] > 0
    assert record.cost["peak_memory"] > 2**20
