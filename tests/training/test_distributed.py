"""Several processes, which exchange gradients by gloo, train what one process trains."""

import math

import pytest
import pytorch_lightning as pl
import torch

from configs.settings import UserError
from datamodules.loader import Share
from methods import METHODS
from methods.binary.layers import binary_layers
from methods.binary.random_weights import Coin, ConcreteSign
from methods.binary.sign import StochasticActivationSign, StochasticWeightSign
from methods.binary.weight_draws import seed_weight_draws
from tests.training.processes import in_processes
from training.callbacks import EpochSeed
from training.distributed import average_buffers, different, state_of

pytestmark = pytest.mark.slow  # processes take their time to find each other

# 5 batches of 40 and one of 13, of which one process has 6 examples and the other 7
SMALL = ["epochs=3", "limit_train=213", "batch_size=40", "net=mlp", "net.width=32", "net.depth=2"]
SYNCHRONIZED = "batch_norm=synchronized"
FLIPPING = ["method.gamma=0.01", "method.threshold=1e-4"]
FREE_OF_DRAWS = {
    "real": [],
    "binaryconnect": [],
    "ste": [],
    "bnnplus": [],
    "bop": FLIPPING,
    "bop2nd": ["method.gamma=0.01", "method.threshold=0.1"],
    "irnet": [],
    "recu": [],
    "reste": [],
    "bernoulli": [],
}


def trained(training, wide=False):
    """What is compared of a run: all that training goes on from, the signs of the weights, and the curves. wide: the
    net is in float64, since with batch norm a sum near 0 may have either sign by rounding."""
    if wide:
        training.method.net.double().register_forward_pre_hook(lambda net, inputs: (inputs[0].double(),))
    start = {name: value.clone() for name, value in training.method.net.state_dict().items()}
    training.fit()
    net = training.method.net
    return {
        "start": start,
        "state": {name: value.clone() for name, value in state_of(net, training.optimizer).items()},
        "signs": torch.cat(
            [(layer.quantizer.mean(layer.weight) >= 0).flatten() for layer in binary_layers(net).values()]
        ),
        "rows": training.history.rows,
        "parameters": [name for name, _ in net.named_parameters()],
    }


@pytest.fixture
def shared(configure, assemble, tmp_path):
    """shared("method=bop") → what each of two processes has in the end that share the batches of a run."""

    def shared(*settings, callbacks=lambda place: (), wide=False):
        run = configure(*SMALL, *settings, "devices=2")
        return in_processes(tmp_path, lambda place: trained(assemble(run, *callbacks(place), place=place), wide))

    return shared


@pytest.fixture
def alone(configure, assemble, tmp_path):
    """The same by one process."""

    def alone(*settings, wide=False):
        return trained(assemble(configure(*SMALL, *settings, f"output_dir={tmp_path}/alone")), wide)

    return alone


def same_bits(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def assert_close(one, other, rtol=1e-4):
    """Up to the order in which float32 numbers are added, relative to the largest value of each tensor."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        away = (value.double() - other[name].double()).abs().max().item() if value.numel() else 0.0
        assert away <= rtol * max(value.double().abs().max().item(), 1e-3), name


@pytest.mark.parametrize("method", FREE_OF_DRAWS)
def test_without_batch_norm_the_flips_are_those_of_one_process_with_the_same_batches(method, shared, alone):
    settings = [f"method={method}", "net.norm=layer", *FREE_OF_DRAWS[method]]
    one, (first, second) = alone(*settings), shared(*settings)
    assert same_bits(first["state"], second["state"])
    assert torch.equal(first["signs"], one["signs"])
    assert_close(first["state"], one["state"])
    for ours, theirs in zip(first["rows"], one["rows"], strict=True):
        for column in ("flip_rate", "net_flips", "never_flipped", "lr"):
            assert ours[column] == theirs[column]
        for column in ("train_loss", "train_error", "val_loss", "val_error"):
            assert ours[column] == pytest.approx(theirs[column], rel=1e-4)
    assert sum(row["net_flips"] for row in one["rows"]) > 0 or method == "bernoulli"


@pytest.mark.parametrize("method", ["real", "binaryconnect", "ste", "bop", "bop2nd"])
def test_with_synchronized_batch_norm_as_well(method, shared, alone):
    settings = [f"method={method}", *FREE_OF_DRAWS[method]]
    one, (first, second) = alone(*settings, wide=True), shared(*settings, SYNCHRONIZED, wide=True)
    assert same_bits(first["state"], second["state"])
    assert torch.equal(first["signs"], one["signs"])
    assert_close(first["state"], one["state"], rtol=1e-5)
    for ours, theirs in zip(first["rows"], one["rows"], strict=True):
        assert ours["net_flips"] == theirs["net_flips"]
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_with_statistics_of_each_process_all_stay_alike_and_every_parameter_moves(method, shared):
    """Every parameter: where a library's optimizer used up its list of gradients (larq#286), some had no update."""
    more = {"bop": FLIPPING, "bop2nd": FREE_OF_DRAWS["bop2nd"], "pbnet": ["method.pretrain=0.34"]}.get(method, [])
    first, second = shared(f"method={method}", *more)
    assert same_bits(first["state"], second["state"])
    assert first["rows"][-1]["val_error"] == second["rows"][-1]["val_error"]
    still = [name for name in first["parameters"] if torch.equal(first["start"][name], first["state"][f"net.{name}"])]
    assert still == []


def test_batches_of_other_processes_are_other_batches_and_losses_are_of_all(configure, assemble, tmp_path):
    """Data in memory comes from no DataLoader: Lightning's sampler would leave every process with all of it."""

    class Seen(pl.Callback):
        labels = ()

        def on_train_batch_start(self, trainer, module, batch, index):
            self.labels += (batch[1].tolist(),)

        def on_validation_batch_start(self, trainer, module, batch, index):
            self.labels += (batch[1].tolist(),)

    def work(place):
        seen = Seen()
        training = assemble(run, seen, place=place)
        training.fit()
        return seen.labels, training.history.rows[0]["val_error"], training.data.sizes

    run = configure(*SMALL, "devices=2", "epochs=1", "method=real")
    (first, error, sizes), (second, other, _) = in_processes(tmp_path, work)
    whole = assemble(configure(*SMALL, "epochs=1", "method=real")).data
    for mine, theirs, (_, y) in zip(first[:-1], second[:-1], whole.train_dataloader(), strict=True):
        assert mine + theirs == y.tolist()
    assert first[-1] + second[-1] == whole.val_dataloader().labels.tolist()
    assert error == other
    assert round(error / 100 * sizes["validation"], 6) % 1 == 0  # a count of all validation examples


def draw(quantizer, x):
    return quantizer.train()(x).detach().clone()


def test_weights_are_drawn_alike_and_activations_by_each_process_for_itself(configure, assemble):
    x, weight = torch.zeros(500), torch.full((500,), 0.5)
    drawn = []
    for share in (Share(0, 2), Share(1, 2), Share(0, 2)):
        training = assemble(configure("limit_train=200"))
        training.trainer.datamodule = training.data
        EpochSeed(7, share).on_train_epoch_start(training.trainer, training.method)
        try:
            activations = draw(StochasticActivationSign(), x)
            quantizers = (StochasticWeightSign(), Coin(), ConcreteSign(0.5, 1e-10))
            drawn.append((activations, *(draw(q, weight if isinstance(q, Coin) else x) for q in quantizers)))
        finally:
            seed_weight_draws(None)
    first, second, again = drawn
    assert not torch.equal(first[0], second[0])
    for mine, theirs in zip(first[1:], second[1:], strict=True):
        assert torch.equal(mine, theirs)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(first, again, strict=True))
    signs = [torch.where(values >= 0, 1.0, -1.0) for values in first[:3]]
    for one, other in ((0, 1), (1, 2), (0, 2)):  # 500 fair coins
        assert abs((signs[one] * signs[other]).mean()) < 5 / math.sqrt(500)


def test_one_process_draws_what_it_always_did(configure, assemble):
    training = assemble(configure("limit_train=200"))
    training.trainer.datamodule = training.data
    EpochSeed(7, Share()).on_train_epoch_start(training.trainer, training.method)
    drawn = draw(Coin(), torch.full((9,), 0.5))
    EpochSeed(7, Share()).on_train_epoch_start(training.trainer, training.method)
    assert torch.equal(drawn, torch.where(torch.rand(9) * 2 - 1 < 0, 1.0, -1.0))


class Strays(pl.Callback):
    """Changes one number in this process, after the second epoch's last step."""

    def __init__(self, what) -> None:
        self.what = what

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.current_epoch == 1 and index == trainer.num_training_batches - 1:
            weight = next(iter(binary_layers(module.net).values())).weight
            with torch.no_grad():
                {"weight": weight, "moment": module.flipper.state[weight]["m"]}[self.what].view(-1)[5].neg_()


@pytest.mark.parametrize(
    ("what", "name"), [("weight", "net.1.weight"), ("moment", "optimizer.1.weight.m")], ids=["weight", "moment"]
)
def test_a_process_that_strays_stops_the_run_with_one_line(what, name, shared):
    results = shared("method=bop", *FLIPPING, callbacks=lambda place: [Strays(what)] if place.rank else [])
    for error in results:
        assert type(error).__name__ == "TrainingError"
        assert str(error) == f"processes 0 and 1 differ in {name} after epoch 2: they no longer train the same net"


def test_other_data_in_another_process_is_told(configure, assemble, tmp_path):
    runs = [configure(*SMALL, "devices=2", f"split_seed={seed}") for seed in (0, 1)]
    results = in_processes(tmp_path, lambda place: assemble(runs[place.rank], place=place).fit())
    for error in results:
        assert str(error) == "processes 0 and 1 differ in the training data: every machine must have the same data"


class BrokenOffError(Exception):
    pass


class BreaksOff(pl.Callback):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 2:
            raise BrokenOffError


@pytest.mark.parametrize("method", ["bop2nd", "bayesbinn", "pbop"])
def test_a_resumed_run_ends_with_the_same_bits(method, shared, tmp_path):
    settings = [f"method={method}", "epochs=4", "checkpoint_seconds=0", "dataset.augment=crop"]
    whole = shared(*settings, f"output_dir={tmp_path}/whole")
    broken = shared(*settings, callbacks=lambda place: [BreaksOff()])
    assert [type(error).__name__ for error in broken] == ["BrokenOffError"] * 2
    for mine, theirs in zip(shared(*settings), whole, strict=True):
        assert same_bits(mine["state"], theirs["state"])
        for row, other in zip(mine["rows"], theirs["rows"], strict=True):
            assert row["train_loss"] == other["train_loss"]
            assert row["val_error"] == other["val_error"]


def test_buffers_become_their_mean_and_equal_ones_keep_their_bits(tmp_path):
    values = torch.rand(200, generator=torch.Generator().manual_seed(0))

    def work(place):
        net = torch.nn.Module()
        net.register_buffer("equal", values.clone())
        net.register_buffer("own", values * (place.rank + 1))
        net.register_buffer("count", torch.tensor(3 + place.rank))
        average_buffers(net)
        return dict(net.named_buffers()), different({"count": str(net.count.item())})

    results = in_processes(tmp_path, work, count=3)
    for rank, (buffers, difference) in enumerate(results):
        assert torch.equal(buffers["equal"], values)
        torch.testing.assert_close(buffers["own"], 2 * values, rtol=1e-6, atol=0)
        assert buffers["count"] == 3 + rank
        assert difference == "processes 0 and 1 differ in count"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            ["batch_size=101"],
            "batch_size=101, which devices=2 and num_nodes=1 share, must be a multiple of 2, and at least 4",
        ),
        (["batch_size=2"], "batch_size=2, which devices=2"),
        (["batch_norm=synchronized", "method=pbnet"], "batch_norm=synchronized with method=pbnet: 2 is a Stochastic"),
        (
            ["batch_norm=synchronized", "method=ste_shift"],
            "batch_norm=synchronized with method=ste_shift: 2 is a Shift",
        ),
        (["batch_norm=synchronized", "compile=true"], "batch_norm=synchronized cannot be compiled"),
    ],
)
def test_what_cannot_be(settings, line, configure, assemble, tmp_path):
    def work(place):
        assemble(configure("net=mlp", "net.width=8", "devices=2", *settings), place=place)

    for error in in_processes(tmp_path, work):
        assert isinstance(error, UserError)
        assert str(error).startswith(line)


def test_one_device_leaves_the_id_and_several_are_part_of_it(configure):
    one = configure("batch_norm=synchronized")
    assert one.config.batch_norm == "per_process"
    ids = [configure(*settings).id for settings in ([], ["devices=2"], ["devices=2", "batch_norm=synchronized"])]
    assert one.id == ids[0]
    assert len(set(ids)) == 3
