"""Flips, agreement and saturation in the record against a recomputation from every weight after every step."""

import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from methods.binary.layers import binary_layers
from results.record import load
from training.callbacks import diagnostics
from training.train import conclude


class Tracker(pl.Callback):
    """Writes down all weights of the binary layers after every step, and their gradients."""

    def __init__(self) -> None:
        self.weights: dict[str, list[np.ndarray]] = {}  # one more than steps: the start first
        self.gradients: dict[str, list[np.ndarray]] = {}

    def _look(self, method):
        for name, layer in binary_layers(method.net).items():
            self.weights.setdefault(name, []).append(layer.weight.detach().flatten().double().numpy().copy())

    def on_train_start(self, trainer, pl_module):
        self._look(pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self._look(pl_module)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        for name, layer in binary_layers(pl_module.net).items():
            self.gradients.setdefault(name, []).append(layer.weight.grad.flatten().double().numpy().copy())


GAMMA, THRESHOLD = 0.1, 1e-3  # of Bop here


def recompute(weights, gradients, steps_per_epoch, latent, flips_bits=False, window=10):
    """Quantity → value per epoch, from the weights around every step and the gradients, a weight at a time."""
    epochs = len(gradients) // steps_per_epoch
    plus = [w >= 0 for w in weights]
    count = len(plus[0])
    names = ["flip_rate", "flip_flop", "never_flipped", "net_flips", "agreement"] + ["saturation"] * latent
    names += ["blocked", "moment_to_threshold"] * flips_bits
    result = {name: [] for name in names}
    last_flip: list[int | None] = [None] * count
    average, moment = np.zeros(count), np.zeros(count)
    for epoch in range(epochs):
        flips = undone = wanted = blocked = 0
        for step in range(epoch * steps_per_epoch, (epoch + 1) * steps_per_epoch):
            average += 0.01 * (gradients[step] - average)
            moment = (1 - GAMMA) * moment + GAMMA * gradients[step]
            for i in range(count):
                if moment[i] * weights[step][i] > 0:
                    wanted += 1
                    blocked += plus[step + 1][i] == plus[step][i]
                if plus[step + 1][i] != plus[step][i]:
                    flips += 1
                    undone += last_flip[i] is not None and step - last_flip[i] <= window
                    last_flip[i] = step
        start, end = plus[epoch * steps_per_epoch], plus[(epoch + 1) * steps_per_epoch]
        result["flip_rate"].append(flips / count / steps_per_epoch)
        result["flip_flop"].append(undone / flips if flips else 0.0)
        result["never_flipped"].append(sum(flip is None for flip in last_flip) / count)
        result["net_flips"].append((start != end).mean())
        moved = average != 0
        result["agreement"].append((np.where(end, 1, -1) == -np.where(average >= 0, 1, -1))[moved].mean())
        if latent:
            result["saturation"].append((np.abs(weights[(epoch + 1) * steps_per_epoch]) >= 0.99).mean())
        if flips_bits:
            result["blocked"].append(blocked / wanted)
            result["moment_to_threshold"].append(math.sqrt((moment**2).mean()) / THRESHOLD)
    return result


def shares(weights):
    """How many of the weights lie in each twentieth of [−1, 1], one weight at a time."""
    counts = [0] * 20
    for w in weights:
        counts[min(max(math.floor((float(w) + 1) * 10), 0), 19)] += 1
    return np.array(counts) / len(weights)


def tracked(training):
    tracker = Tracker()
    training.trainer.callbacks[:0] = [tracker]
    training.fit()
    conclude(training)
    return tracker, load(training.run.record_path)


@pytest.mark.parametrize(
    ("method", "net"),
    # scaled to [0, 1], the black border of all digits is 0, and so is the gradient of a dense layer's weights there
    [
        *((method, ["net=tiny"]) for method in ("ste", "binaryconnect", "real", "bop")),
        *((method, ["net=mlp", "net.depth=1", "dataset.scaling=unit"]) for method in ("ste", "bop")),
    ],
)
def test_small_layers_are_followed_whole(method, net, configure, assemble):
    bop = [f"method.gamma={GAMMA}", f"method.threshold={THRESHOLD}", "method.gamma_schedule=constant"]
    eager = {"ste": ["method.lr=0.3"], "bop": bop}.get(method, ["method.lr=0.1"])  # many flips, many back
    training = assemble(configure(f"method={method}", *eager, *net, "epochs=3", "net.width=4"))
    tracker, record = tracked(training)
    steps = len(training.data.train_dataloader())
    assert set(record.diagnostics) == set(tracker.weights)
    expected = {
        name: recompute(
            tracker.weights[name], tracker.gradients[name], steps, training.method.latent, training.method.flips_bits
        )
        for name in tracker.weights
    }
    assert sum(sum(rows["flip_flop"]) for rows in expected.values()) > 0
    for name, weights in tracker.weights.items():
        found = record.diagnostics[name].get("histogram", [])
        wanted = [shares(weights[(epoch + 1) * steps]) for epoch in range(3)] if training.method.latent else []
        np.testing.assert_allclose(found, wanted, atol=1e-7)
    for name, rows in expected.items():
        for quantity, values in rows.items():
            assert record.diagnostics[name][quantity] == pytest.approx(values, rel=1e-5), (name, quantity)

    # the curves have the mean over all weights of the net
    sizes = {name: len(weights[0]) for name, weights in tracker.weights.items()}
    for quantity in next(iter(expected.values())):
        for epoch, value in enumerate(record.curves[quantity]):
            mean = sum(sizes[name] * rows[quantity][epoch] for name, rows in expected.items()) / sum(sizes.values())
            assert value == pytest.approx(mean, rel=1e-5), quantity


def test_of_large_layers_a_sample_is_followed(configure, assemble):
    settings = ("net=mlp", "net.width=96", "net.depth=1", "epochs=2", "method.lr=0.1", "limit_train=600")
    training = assemble(configure(*settings))
    tracker, record = tracked(training)
    name = "1"
    count, n = len(tracker.weights[name][0]), diagnostics.SAMPLE
    assert count == 64 * 96 > n
    expected = recompute(tracker.weights[name], tracker.gradients[name], 6, True)
    rows = record.diagnostics[name]
    for quantity in ("net_flips", "saturation"):  # of all weights
        assert rows[quantity] == pytest.approx(expected[quantity], rel=1e-5)
    for quantity in ("never_flipped", "agreement"):  # shares of n weights drawn with replacement
        for value, p in zip(rows[quantity], expected[quantity], strict=True):
            assert abs(value - p) < 5 * math.sqrt(p * (1 - p) / n)
            assert value != p
    for value, p in zip(
        rows["flip_rate"], expected["flip_rate"], strict=True
    ):  # up to 6 flips of a weight: 6 p is a bound
        assert abs(value - p) < 5 * math.sqrt(p / n)


def test_the_sample_is_of_the_same_weights_in_any_memory_format(configure, assemble):
    training = assemble(configure("net=vgg", "net.width=4", "epochs=2", "method.lr=0.1", "limit_train=500"))
    tracker, record = tracked(training)
    name, layer = list(binary_layers(training.method.net).items())[5]
    assert layer.weight.numel() == 16 * 16 * 9 > diagnostics.SAMPLE
    assert not layer.weight.is_contiguous()
    positions = torch.randint(0, 16 * 16 * 9, (diagnostics.SAMPLE,), generator=torch.Generator().manual_seed(0))
    sample = positions.numpy()  # of the tensor flattened row by row; the first layer large enough for a draw
    expected = recompute(
        [w[sample] for w in tracker.weights[name]], [g[sample] for g in tracker.gradients[name]], 5, False
    )
    for quantity in ("flip_rate", "flip_flop", "never_flipped", "agreement"):
        assert record.diagnostics[name][quantity] == pytest.approx(expected[quantity], rel=1e-5), quantity


def test_without_diagnostics_nothing_else_changes(configure, assemble):
    with_them = assemble(configure())
    _, record = tracked(with_them)
    without = assemble(configure("diagnostics=false", f"results_dir={with_them.run.config.results_dir}/other"))
    _, plain = tracked(without)
    assert plain.diagnostics == {}
    assert "flip_rate" not in plain.curves
    assert plain.run_id == record.run_id
    assert plain.test == record.test
    for column in ("train_loss", "val_error"):
        assert plain.curves[column] == record.curves[column]
