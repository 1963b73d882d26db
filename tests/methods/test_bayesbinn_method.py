"""BayesBiNN: the number of training examples in its rule, and where its natural parameters start."""

import math

import pytest
import pytorch_lightning as pl
import torch

from datamodules.batches import Batches
from methods import METHODS
from methods.binary.layers import binary_layers
from methods.binary.sign import as_signs
from methods.nets import NETS


def make(**settings):
    torch.manual_seed(0)
    config = METHODS["bayesbinn"].Config(**settings)
    return METHODS["bayesbinn"](config, NETS["mlp"].Config(width=64, depth=1), (1, 8, 8), 10, "cross_entropy")


class Data(pl.LightningDataModule):
    def __init__(self, count: int, batch_size: int) -> None:
        super().__init__()
        images, labels = torch.zeros(count, 1, 8, 8, dtype=torch.uint8), torch.arange(count) % 10
        self.batches = Batches(images, labels, batch_size, lambda x: x.float(), seed=0)

    def train_dataloader(self) -> Batches:
        return self.batches


@pytest.mark.parametrize("count", [40, 51, 41])  # the last: Batches leaves the single example of a last batch out
def test_the_gradient_of_the_mean_loss_counts_for_every_example(count, fit, tmp_path):
    method = make()
    trainer = fit(method, torch.randn(count, 1, 8, 8), torch.arange(count) % 10, epochs=1, batch_size=30)
    assert trainer.optimizers[0].param_groups[0]["examples"] == count
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(make(), datamodule=Data(count, 20))
    assert trainer.optimizers[0].param_groups[0]["examples"] == count


@pytest.mark.parametrize("float64", [True, False])
def test_natural_parameters_start_at_init_with_either_sign(float64):
    method = make(init=3.0, float64=float64)
    weights = [layer.weight.detach() for layer in binary_layers(method.net).values()]
    assert {w.dtype for w in weights} == {torch.float64 if float64 else torch.float32}
    start = torch.cat([w.flatten() for w in weights])
    assert set(start.tolist()) == {-3.0, 3.0}
    assert abs((start > 0).double().mean().item() - 0.5) < 4 * math.sqrt(0.25 / len(start))


def test_examples_count_as_often_as_the_data_scale_says(fit):
    trainer = fit(make(data_scale=10), torch.randn(40, 1, 8, 8), torch.arange(40) % 10, epochs=1, batch_size=20)
    assert trainer.optimizers[0].param_groups[0]["examples"] == 400


@pytest.mark.parametrize("recalibrate", [True, False])
def test_statistics_of_batch_norm_are_trainings_own_unless_measured_anew(recalibrate, fit):
    method = make(recalibrate=recalibrate)
    x = torch.randn(40, 1, 8, 8)
    fit(method, x, torch.arange(40) % 10, epochs=3, batch_size=20)
    kept = method.net[2].running_var.clone()
    with torch.no_grad():
        sums = torch.nn.functional.linear(x.flatten(1), method.net[1].weight.sign())
    measured = torch.stack([part.var(0) for part in sums.split(20)]).mean(0)
    assert torch.allclose(kept, measured, rtol=1e-4) == recalibrate


def test_natural_parameters_in_float64_are_evaluated_in_float32():
    x, method = torch.randn(5, 1, 8, 8), make(float64=True).eval()
    signs = method.net(x)
    with as_signs(method.net):
        assert method.net(x).dtype == signs.dtype == torch.float32
