"""A whole run of the naive Bernoulli method: the net of integers that it leaves, and its columns of the curves."""

import math
from pathlib import Path

import pytest
import torch

from methods.optim.hardening import BINARIZE
from results.record import load
from training.train import conclude

EPS = 1e-4  # of batch norm
SETTINGS = ["method=bernoulli", "net=mlp", "net.width=24", "net.depth=2", "dataset.scaling=binary", "epochs=6"]
LAYERS = ((1, 2), (4, 5), (7, 8))  # linear, batch norm


def splits(data):
    official = data.read_train()
    held_out = torch.from_numpy(data.draw_validation(official.labels.numpy()))
    return {
        "validation": (official.images[held_out], official.labels[held_out]),
        "test": tuple(data.read_test()),
    }


def affine(state, norm):
    """Batch norm's scale and shift in evaluation, in float64."""
    gamma, beta, mean, var = (state[f"{norm}.{k}"].double() for k in ("weight", "bias", "running_mean", "running_var"))
    scale = gamma / torch.sqrt(var + EPS)
    return scale, beta - mean * scale


@pytest.mark.parametrize(("how", "binarize"), [*(("nominal", b) for b in BINARIZE), ("clt", "by_part")])
def test_what_is_left_is_a_net_of_integers(how, binarize, configure, assemble):
    """Sums of products of signs, compared with a threshold per unit, which batch norm folds to."""
    run = configure(*SETTINGS, f"method.how={how}", f"method.binarize={binarize}")
    training = assemble(run)
    training.fit()
    conclude(training)
    record = load(run.record_path)
    state = torch.load(Path(run.config.output_dir) / record.run_id / "weights.pt", weights_only=True)
    weights = [torch.where(state[f"{layer}.weight"] >= 0, 1, -1) for layer, _ in LAYERS]

    tables = []  # (units, N + 1): whether a unit is +1 at S = −N, …, N
    for w, (_, norm) in zip(weights[:-1], LAYERS[:-1], strict=True):
        N = w.shape[1]
        S = torch.arange(-N, N + 1, 2).double()
        z = 0.5 + 0.5 * torch.erf((S + 1) / math.sqrt(2 * N)) if how == "nominal" else (S >= 0).double()
        scale, shift = affine(state, norm)
        table = scale[:, None] * z + shift[:, None] >= 0
        assert (table[:, 1:] != table[:, :-1]).sum(1).max() <= 1
        tables.append(table)

    for split, (images, labels) in splits(training.data).items():
        x = torch.where(images.flatten(1) > 127, 1, -1)
        for w, table in zip(weights[:-1], tables, strict=True):
            S = x @ w.T
            at = (S + w.shape[1]) // 2
            x = torch.where(table[torch.arange(len(table)), at], 1, -1)
        scale, shift = affine(state, LAYERS[-1][1])
        logits = (x @ weights[-1].T) * scale + shift
        error = 100 * (logits.argmax(1) != labels).double().mean().item()
        assert getattr(record, split)["error"] == pytest.approx(error, rel=1e-6)
        assert getattr(record, split)["binarization_gap"] == 0
    assert record.model["binary_weights"]
    assert record.model["binary_activations"]


@pytest.mark.parametrize(("activations", "how"), [("hard", "nominal"), ("annealed", "nominal"), ("annealed", "clt")])
def test_columns_of_the_curves(activations, how, configure, assemble):
    """Of the last epoch, by hand: the net as it trains, and the same with signs as weights; each with statistics that
    are averages over 20 training batches."""
    ways = [f"method.activations={activations}", f"method.how={how}"]
    run = configure(*SETTINGS, *ways, "batch_size=50", "method.binarize=by_layer")
    training = assemble(run)
    training.fit()
    state = {name: value.clone() for name, value in training.method.net.state_dict().items()}
    conclude(training)
    curves = load(run.record_path).curves
    shown = [curves[name][-1] for name in ("val_soft_error", "val_weights_error", "val_error")]

    loader = training.data.train_dataloader()
    loader.set_epoch(0)
    batches = [x for x, _ in loader][:20]
    assert len(batches) == 20
    (images, labels) = splits(training.data)["validation"]
    for name, soft in (("val_soft_error", True), ("val_weights_error", False)):
        xs = [x.flatten(1).double() for x in batches]
        validation = torch.where(images.flatten(1) > 127, 1.0, -1.0).double()
        for i, (layer, norm) in enumerate(LAYERS):
            theta = state[f"{layer}.weight"].double()
            w = torch.tanh(theta / 2) if soft else torch.where(theta >= 0, 1.0, -1.0).double()
            gamma, beta = (state[f"{norm}.{key}"].double() for key in ("weight", "bias"))

            def output(x, w=w, last=i == 2):
                variance = w.shape[1] - (x.square() @ w.T.square() if how == "clt" else 0)
                return x @ w.T if last else 0.5 + 0.5 * torch.erf((x @ w.T + 1) / (2 * variance) ** 0.5)

            def activate(a, i=i):
                if i == 2:
                    return a
                activation = training.method.activations[i]
                if activation.hardened:
                    return torch.where(a >= 0, 1.0, -1.0).double()
                return 2 * torch.sigmoid(a / (activation.temperature.double() + 1e-4)) - 1

            zs = [output(x) for x in xs]
            mean, var = (torch.stack([f(z, 0) for z in zs]).mean(0) for f in (torch.mean, torch.var))
            xs = [activate((z - z.mean(0)) / (z.var(0, correction=0) + EPS).sqrt() * gamma + beta) for z in zs]
            validation = activate((output(validation) - mean) / (var + EPS).sqrt() * gamma + beta)
        error = 100 * (validation.argmax(1) != labels).double().mean().item()
        assert curves[name][-1] == pytest.approx(error, rel=1e-5)
    assert len(set(shown)) > 1  # so that the comparison was one
    assert curves["hardened"] == sorted(curves["hardened"])
    assert curves["hardened"][0] == 0 < curves["hardened"][-1] < 1
