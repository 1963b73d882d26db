"""PBNet's two phases, its re-estimated statistics and its ensemble, against restatements and the methods beside it."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from configs.settings import UserError
from methods import METHODS
from methods.binary.gaussian import MEANS, SIGNS, VALUES, Gaussian, normalize
from methods.binary.layers import binary_layers
from methods.binary.norm_statistics import statistics
from methods.binary.sign import WeightSign
from methods.nets import NETS
from methods.recalibrated import BATCHES


def make(seed=0, net="tiny", net_settings=None, name="pbnet", **settings):
    torch.manual_seed(seed)
    shape = NETS[net].Config(width=4, **(net_settings or {}))
    return METHODS[name](METHODS[name].Config(**settings), shape, (1, 8, 8), 10, "cross_entropy")


def examples(n=40):
    generator = torch.Generator().manual_seed(9)
    return torch.randn(n, 1, 8, 8, generator=generator).clamp(-1, 1), torch.arange(n) % 10


def weights(method):
    return [layer.weight.detach().clone() for layer in binary_layers(method.net).values()]


class Look(pl.Callback):
    """Weights at the start of each epoch, before the method's own hook and after the first step's forward pass; the
    optimizer's steps so far; which layers gave distributions."""

    def __init__(self) -> None:
        self.before, self.during, self.steps, self.random = [], [], [], []

    def on_train_epoch_start(self, trainer, pl_module):
        self.before.append(weights(pl_module))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 0:
            self.during.append(weights(pl_module))
            self.random.append([layer.quantizer.random for layer in binary_layers(pl_module.net).values()])
            (adam,) = trainer.optimizers[0].optimizers
            self.steps.append({int(state["step"]) for state in adam.state.values()})


@pytest.mark.parametrize(("share", "epochs", "expected"), [(0.4, 5, 2), (0.25, 5, 1), (0.9, 3, 2), (0.25, 1, 0)])
def test_theta_starts_from_the_weights_of_the_twin_over_their_deviation(share, epochs, expected, fit):
    method, look = make(pretrain=share, start_clip=0.8), Look()
    start = weights(method)
    fit(method, *examples(), epochs=epochs, batch_size=20, callbacks=[look])
    assert look.random == [[epoch >= expected] * 3 for epoch in range(epochs)]
    assert look.steps == [({2 * epoch} if epoch else set()) for epoch in range(expected)] + [
        ({2 * epoch} if epoch else set()) for epoch in range(epochs - expected)
    ]  # the moments start anew
    for epoch in range(epochs):
        for before, during in zip(look.before[epoch], look.during[epoch], strict=True):
            if epoch == expected:
                deviation = ((before.double() - before.double().mean()) ** 2).sum() / (before.numel() - 1)
                scaled = (before.double() / deviation.sqrt()).clamp(-0.8, 0.8)
                torch.testing.assert_close(during.double(), scaled, rtol=1e-5, atol=1e-7)
                assert (during.abs() == torch.tensor(0.8)).any()
                assert (during.abs() < 0.8).any()
            else:
                assert torch.equal(before, during)
    assert all(torch.equal(a, b) for a, b in zip(start, look.before[0], strict=True))
    assert all(w.abs().max() <= 1 for w in weights(method))


def test_a_uniform_start_has_no_twin(fit):
    method, look = make(net="mlp", net_settings={"depth": 2}, pretrain=0), Look()
    theta = torch.cat([w.flatten() for w in weights(method)])
    assert -1 <= theta.min() < -0.98
    assert 0.98 < theta.max() <= 1
    assert abs(theta.mean()) < 4 * (1 / 3 / len(theta)) ** 0.5
    fit(method, *examples(), epochs=2, batch_size=20, callbacks=[look])
    assert look.random == [[True] * 3] * 2
    assert all(torch.equal(a, b) for a, b in zip(look.before[0], look.during[0], strict=True))


def test_the_twin_trains_as_the_method_real_with_tanh(fit):
    """With the same start, data and rate, bit for bit, until θ is made from it."""
    twin, look = make(pretrain=0.75, pretrain_lr=0.01), Look()
    real = make(name="real", activation="tanh", lr=0.01, lr_schedule="constant")
    fit(twin, *examples(), epochs=4, batch_size=20, callbacks=[look])
    fit(real, *examples(), epochs=3, batch_size=20)
    assert all(torch.equal(a, b) for a, b in zip(look.before[3], weights(real), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(look.before[0], look.before[3], strict=True))


def test_rate_of_every_step_in_both_phases(fit, rates):
    method = make(pretrain=0.5, pretrain_lr=0.002, lr=0.1, lr_end=0.01, lr_schedule="linear")
    fit(method, *examples(), epochs=4, batch_size=20, callbacks=[rates])
    assert rates.seen == pytest.approx([0.002] * 4 + [0.1 - 0.09 * step / 4 for step in range(4)], rel=1e-12)


@pytest.mark.parametrize(("sampling", "hidden"), [(True, SIGNS), (False, MEANS)])
def test_the_first_layer_sees_values_and_the_others_what_activations_give(sampling, hidden):
    method = make(sampling=sampling)
    assert [layer.input for layer in binary_layers(method.net).values()] == [VALUES, hidden, hidden]
    seen = {}
    for name, layer in binary_layers(method.net).items():
        layer.register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: (inputs[0], output)}))
    assert isinstance(method.train()(examples()[0]), torch.Tensor)
    (_, *inputs) = (value[0] for value in seen.values())
    assert all(isinstance(value[1], Gaussian) for value in seen.values())
    assert all((set(x.unique().tolist()) == {-1, 1}) == sampling for x in inputs)
    assert all(x.abs().max() <= 1 for x in inputs)


def test_dropout_between_layers():
    dropout = {"depth": 2, "dropout_input": 0.2, "dropout_hidden": 0.5}
    method = make(sampling=True, net="mlp", net_settings=dropout)
    assert [layer.input for layer in binary_layers(method.net).values()] == [VALUES] * 3  # zeros are no signs
    with pytest.raises(UserError, match=r"net\.dropout_hidden.*method\.sampling=true"):
        make(net="mlp", net_settings=dropout, sampling=False)
    make(net="mlp", net_settings={"dropout_input": 0.2}, sampling=False)


def test_the_loss_is_that_of_the_mean_of_the_last_layer():
    method = make(sampling=False, net="mlp", net_settings={"depth": 1})
    x, y = examples()
    *body, last = method.net
    for layer in body:
        x = layer(x)
    logits = normalize(x, last.weight, last.bias, last.eps).mean
    assert method.training_step((examples()[0], y), 0).item() == pytest.approx(F.cross_entropy(logits, y).item())
    x = examples()[0]
    method.eval()
    assert method.predict(x).shape == (40, 10)


def by_hand(method, batches):
    """The buffers that the net with sign weights has, once it has averaged over these batches in the ordinary way."""
    config = NETS["tiny"].Config(width=4)
    plain = NETS["tiny"](
        config, METHODS["ste"](METHODS["ste"].Config(), config, (1, 8, 8), 10, "cross_entropy").parts(), (1, 8, 8), 10
    )
    plain.load_state_dict(method.net.state_dict())
    for norm in (m for m in plain if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        for x in batches:
            plain(x)
    return statistics(plain)


def test_after_training_the_statistics_are_those_of_the_binary_net_on_training_batches(fit):
    method = make()
    x, y = examples()
    fit(method, x, y, epochs=3, batch_size=10)
    for ours, expected in zip(statistics(method.net), by_hand(method, x.split(10)[:BATCHES]), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


class Ordered:
    """A training loader as the data modules have it: its order is a function of the epoch."""

    def __init__(self, x, y) -> None:
        self.x, self.y, self.epoch = x, y, 7

    def whole(self):
        return copy.copy(self)

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return 4

    def __iter__(self):
        yield from ((x + self.epoch, y) for x, y in zip(self.x.split(10), self.y.split(10), strict=True))


class Data(pl.LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.train = Ordered(*examples())

    def train_dataloader(self):
        return self.train

    def val_dataloader(self):
        return DataLoader(TensorDataset(*examples(10)), batch_size=10)


class Validated(pl.Callback):
    """The random stream on both sides of the method's own hook, and what the net and the loader are after it."""

    def on_validation_start(self, trainer, pl_module):
        self.rng_before = torch.get_rng_state()

    def on_validation_epoch_start(self, trainer, pl_module):
        self.rng, self.epoch = torch.get_rng_state(), trainer.datamodule.train.epoch
        self.buffers = [t.clone() for t in statistics(pl_module.net)]
        self.state = {name: t.clone() for name, t in pl_module.net.state_dict().items()}


def test_validation_is_preceded_by_statistics_that_cost_no_random_number(tmp_path):
    method, data, look = make(), Data(), Validated()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, callbacks=[look], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(method, datamodule=data)
    assert torch.equal(look.rng, look.rng_before)
    assert look.epoch == data.train.epoch == 7  # the order of epoch 0 was taken from a copy
    method.net.load_state_dict(look.state)
    for ours, expected in zip(look.buffers, by_hand(method, examples()[0].split(10)), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    moved = look.buffers[0] + 1
    method.net[2].running_mean.copy_(moved)
    trainer.validate(method, datamodule=data, verbose=False)  # of chosen weights, which bring their statistics
    assert torch.equal(method.net[2].running_mean, moved)


def test_an_ensemble_is_of_nets_drawn_once_each_with_statistics_of_their_own(fit):
    method = make(draws=3)
    x, y = examples()
    fit(method, x, y, epochs=4, batch_size=10)
    method.eval()
    theta = weights(method)
    seen = {i: [] for i in range(3)}
    for i, layer in enumerate(binary_layers(method.net).values()):
        layer.quantizer.register_forward_hook(lambda module, inputs, output, i=i: seen[i].append(output.clone()))
    usual = statistics(method.net)
    kept = [t.clone() for t in usual]
    torch.manual_seed(0)
    with torch.no_grad(), method.averaged_over_draws():
        logits = method.predict(x)
        drawn = [[seen[i][12 + k] for i in range(3)] for k in range(3)]  # 3 draws × 4 training batches, then 3 × x
        for i in range(3):
            assert len(seen[i]) == 15
            assert all(torch.equal(seen[i][4 * k + batch], drawn[k][i]) for k in range(3) for batch in range(4))
            seen[i].clear()
        again = method.predict(x)
        assert [len(s) for s in seen.values()] == [3, 3, 3]  # the second batch measures nothing anew
        assert torch.equal(logits, again)
    assert all(torch.equal(a, b) for a, b in zip(usual, kept, strict=True))
    assert not any(torch.equal(drawn[0][i], drawn[1][i]) for i in range(3))

    expected = torch.zeros(40, 10)
    for nets in drawn:
        for w, mean in zip(nets, theta, strict=True):
            assert set(w.unique().tolist()) <= {-1, 1}
            assert (w == mean.sign())[mean.abs() == 1].all()
        single = make()
        single.net.load_state_dict(method.net.state_dict())
        for layer, w in zip(binary_layers(single.net).values(), nets, strict=True):
            layer.weight.data.copy_(w)
        for buffer, value in zip(statistics(single.net), by_hand(single, x.split(10)), strict=True):
            buffer.copy_(value)
        with torch.no_grad():
            expected += single.eval().predict(x).softmax(1) / 3
    torch.testing.assert_close(logits.exp(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("sampling", [True, False])
def test_the_training_pass_compiles_whole_in_both_phases(sampling):
    """With the compiler's own front end alone: the same graph, the same draws, the same gradients."""
    torch.compiler.reset()  # what other tests compiled counts towards its limit
    method = make(sampling=sampling)
    x, y = examples()
    compiled = torch.compile(method.net, backend="eager", fullgraph=True, dynamic=False)
    for real in (True, False):
        for layer in method.random_layers:
            layer.quantizer.real = real
        results = []
        for net in (method.net, compiled):
            torch.manual_seed(0)
            method.zero_grad()
            output = net(x)
            loss = F.cross_entropy(output, y)
            loss.backward()
            results.append([loss.detach(), *(p.grad.clone() for p in method.net.parameters())])
        for eager, ours in zip(*results, strict=True):
            torch.testing.assert_close(eager, ours)


def test_it_is_evaluated_fully_binary():
    for sampling in (True, False):
        method = make(sampling=sampling)
        assert method.binary_weights
        assert method.binary_activations
    assert not isinstance(method.random_layers[0].quantizer, WeightSign)  # so that this is not what `ste` has
