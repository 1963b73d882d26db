"""Errors and binarization gap of a record against an evaluation of the same weights by hand."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from datamodules.corruptions import CORRUPTIONS, corrupt
from results.record import load, wrong_examples
from training.train import conclude


def signs(x):
    return torch.where(x >= 0, 1.0, -1.0).double()


def real(x):
    return x


# How each method evaluates: its weights, its hidden activations.
METHODS = {
    ("ste",): (signs, signs),
    ("ste", "method.activation=stochastic"): (signs, signs),
    ("binaryconnect",): (signs, torch.relu),
    ("binaryconnect", "method.weights=stochastic"): (real, torch.relu),
    ("real",): (real, torch.relu),
    ("bop",): (real, signs),  # the stored weights are ±1 themselves
    ("pbop",): (lambda p: signs(2 * p - 1), signs),
    ("pbnet",): (signs, signs),
}


def error_by_hand(state, images, labels, quantize, activate):
    """Error in % of an MLP of depth 2, from its state: twice x·q(W)ᵀ, batch norm, activation; once without it."""
    x = images.flatten(1).double() / 127.5 - 1
    for layer, norm in ((1, 2), (4, 5), (7, 8)):
        z = x @ quantize(state[f"{layer}.weight"].double()).T
        gamma, beta, mean, var = (
            state[f"{norm}.{name}"].double() for name in ("weight", "bias", "running_mean", "running_var")
        )
        z = (z - mean) / torch.sqrt(var + 1e-4) * gamma + beta
        x = activate(z)
    return 100 * (z.argmax(1) != labels).double().mean().item()


@pytest.mark.parametrize("method", METHODS, ids="-".join)
def test_errors_are_those_of_an_evaluation_by_hand(method, configure, assemble):
    run = configure(f"method={method[0]}", *method[1:], "net=mlp", "net.width=24", "net.depth=2", "epochs=3")
    training = assemble(run)
    training.fit()
    last = {name: value.clone() for name, value in training.method.net.state_dict().items()}
    conclude(training)
    record = load(run.record_path)
    chosen = torch.load(Path(run.config.output_dir) / record.run_id / "weights.pt", weights_only=True)

    official = training.data.read_train()
    held_out = torch.from_numpy(training.data.draw_validation(official.labels.numpy()))
    splits = {
        "validation": (official.images[held_out], official.labels[held_out]),
        "test": tuple(training.data.read_test()),
    }
    quantize, activate = METHODS[method]
    plain_sign = quantize if method == ("pbop",) else signs  # of a probability: sign(2p − 1)
    for name, (images, labels) in splits.items():
        measured = getattr(record, name)
        error = error_by_hand(chosen, images, labels, quantize, activate)
        binarized = error_by_hand(chosen, images, labels, plain_sign, signs)
        assert measured["error"] == pytest.approx(error, rel=1e-6)
        assert measured["last_error"] == pytest.approx(
            error_by_hand(last, images, labels, quantize, activate), rel=1e-6
        )
        assert measured["binarized_error"] == pytest.approx(binarized, rel=1e-6)
        assert measured["binarization_gap"] == pytest.approx(binarized - error, abs=1e-4)
        if name == "test":
            wrong = wrong_examples(record)
            each = [error_by_hand(chosen, images[i : i + 1], labels[i : i + 1], quantize, activate) for i in range(60)]
            assert [100.0 * w for w in wrong[:60]] == each
            assert 100 * wrong.mean() == pytest.approx(measured["error"], rel=1e-6)
            for corruption, found in measured["corrupted"].items():
                other = error_by_hand(chosen, corrupt(images, corruption), labels, quantize, activate)
                assert found == pytest.approx(other, rel=1e-6)
            assert measured["corrupted"].keys() == CORRUPTIONS.keys()
    if method[0] in ("real", "binaryconnect"):
        assert abs(record.test["binarization_gap"]) > 1  # so that the comparison above was one


def test_the_test_error_is_that_of_the_chosen_epoch_where_it_is_not_the_last(configure, assemble):
    """The weights of every epoch, evaluated by hand: the record's figure is that of its best epoch."""
    run = configure(
        "net=mlp", "net.width=24", "net.depth=2", "epochs=5", "method.lr=0.3", "method.lr_end=0.3", "seed=1"
    )
    states = []

    class Keep(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            states.append({name: value.clone() for name, value in pl_module.net.state_dict().items()})

    training = assemble(run, Keep())
    training.fit()
    conclude(training)
    record = load(run.record_path)
    images, labels = training.data.read_test()
    errors = [error_by_hand(state, images, labels, signs, signs) for state in states]
    assert record.best_epoch < 5
    assert len(set(errors)) == 5
    assert record.test["error"] == pytest.approx(errors[record.best_epoch - 1], rel=1e-6)
    assert record.test["last_error"] == pytest.approx(errors[-1], rel=1e-6)


@pytest.mark.parametrize("method", ["ste", "pbop", "pbnet", "bayesbinn", "bernoulli"])
def test_the_net_is_on_the_device_of_the_data_whenever_it_computes(method, configure, assemble, monkeypatch):
    """Lightning calls `cpu` when it has fitted or evaluated, and `to` before. What runs between the two computes on
    the CPU, which a processor alone cannot show."""
    training = assemble(configure(f"method={method}", "epochs=2", "limit_train=300"))
    away, to = [], pl.LightningModule.to
    monkeypatch.setattr(pl.LightningModule, "cpu", lambda module: away.append(module) or module)
    monkeypatch.setattr(pl.LightningModule, "to", lambda module, device: away.clear() or to(module, device))
    training.fit()
    assert away
    computed = []
    training.method.net.register_forward_pre_hook(lambda net, x: computed.append(bool(away)))
    conclude(training)
    assert load(training.run.record_path).packed["test"]["differ"] == 0
    assert len(computed) > 3
    assert not any(computed)
