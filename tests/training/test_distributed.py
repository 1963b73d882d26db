"""Several processes, really processes that exchange gradients by gloo, train what one process trains."""

import pytest
import pytorch_lightning as pl
import torch

from methods import METHODS
from methods.binary.layers import binary_layers
from tests.training.processes import in_processes
from training.errors import TrainingError

SMALL = ["epochs=2", "limit_train=203", "batch_size=40", "net=mlp", "net.width=32", "net.depth=2"]


def trained(training):
    """What is compared of a run: all weights, the moments, and the curves."""
    training.fit()
    optimizer = training.optimizer
    moments = [
        value.detach().clone() if isinstance(value, torch.Tensor) else torch.tensor(value)
        for inner in optimizer.optimizers
        for state in inner.state.values()
        for value in state.values()
    ]
    return {
        "weights": {name: value.clone() for name, value in training.method.net.state_dict().items()},
        "moments": moments,
        "signs": {name: layer.quantizer.mean(layer.weight) >= 0 for name, layer in binary_layers(training.method.net).items()},
        "rows": training.history.rows,
    }


@pytest.fixture
def both(configure, assemble, tmp_path):
    """both("method=bop") → what one process trains, and what each of two trains that share its batches."""

    def both(*settings):
        one = trained(assemble(configure(*SMALL, *settings, f"output_dir={tmp_path}/one")))
        run = configure(*SMALL, *settings, "devices=2")
        several = in_processes(tmp_path, lambda place: trained(assemble(run, place=place)))
        for result in several:
            if isinstance(result, Exception):
                raise result
        return one, *several

    return both


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", METHODS)
def test_x(method, both):
    one, first, second = both(f"method={method}", "net.norm=layer" )
    print(method, [ (first["signs"][n]!=one["signs"][n]).float().mean().item() for n in one["signs"]], first["rows"][-1]["train_loss"], one["rows"][-1]["train_loss"], first["rows"][-1]["val_loss"], one["rows"][-1]["val_loss"],first["rows"][-1]["net_flips"])
    assert equal(first["weights"], second["weights"])
