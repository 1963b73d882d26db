"""Architectures: sizes that the papers give, order inside a block, options, and every method on every net."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from configs.settings import UserError
from methods import METHODS
from methods.binary.layers import BinaryConv2d, BinaryLinear, Parts, binary_layers, fans
from methods.binary.sign import Activation, ActivationSign, WeightSign
from methods.nets import NETS

PARTS = Parts(WeightSign, ActivationSign)
SMALL = {
    "mlp": {"width": 16, "depth": 2},
    "vgg": {"width": 2},
    "tiny": {"width": 4},
    "bernoulli_cnn": {"width": 2, "first_kernel": 4, "second_kernel": 3},
    "vgg_small": {"width": 2},
    "resnet20": {"width": 2},
    "resnet18": {"width": 2},
    "birealnet18": {"width": 2},
    "xnornet": {"width": 3, "dense": 8},
}
LEAST_SIDE = {"xnornet": 60, "birealnet18": 32}  # of the others, 8 pixels are enough
REAL_ENDS = ("vgg_small", "resnet20", "resnet18", "birealnet18", "xnornet")


def images_for(name, channels=1):
    """The smallest images that the tests give a net."""
    side = LEAST_SIDE.get(name, 8)
    return channels, side, side


def build(name, input_shape, classes=10, parts=PARTS, device="cpu", **settings):
    with torch.device(device):
        return NETS[name](NETS[name].Config(**settings), parts, input_shape, classes)


def weight_shapes(net):
    return [tuple(layer.weight.shape) for layer in binary_layers(net).values()]


def count(parameters):
    return sum(p.numel() for p in parameters)


def test_mlp_of_binarynet_mnist():
    net = build("mlp", (1, 28, 28), width=4096, depth=3, device="meta")
    assert weight_shapes(net) == [(4096, 784), (4096, 4096), (4096, 4096), (10, 4096)]
    weights = 784 * 4096 + 2 * 4096**2 + 4096 * 10
    assert count(net.parameters()) == weights + 2 * (3 * 4096 + 10)  # batch norm: γ and β


@pytest.mark.parametrize("width", [128, 64])  # CIFAR-10, and SVHN at half its width
def test_vgg_of_binarynet(width):
    net = build("vgg", (3, 32, 32), width=width, device="meta")
    w = width
    convolutions = [(w, 3), (w, w), (2 * w, w), (2 * w, 2 * w), (4 * w, 2 * w), (4 * w, 4 * w)]
    dense = [(8 * w, 4 * w * 4 * 4), (8 * w, 8 * w), (10, 8 * w)]
    assert weight_shapes(net) == [(*shape, 3, 3) for shape in convolutions] + dense
    norms = 2 * (2 * (w + 2 * w + 4 * w) + 2 * 8 * w + 10)
    assert count(net.parameters()) == count(layer.weight for layer in binary_layers(net).values()) + norms
    if width == 128:
        assert count(layer.weight for layer in binary_layers(net).values()) == 14_022_016


def test_vgg_without_padding_of_the_first_convolution():
    net = build("vgg", (3, 32, 32), width=4, first_padding=0)
    sides = []
    for layer in binary_layers(net).values():
        layer.register_forward_hook(lambda module, inputs, output: sides.append(tuple(output.shape[2:])))
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert sides == [(30, 30), (30, 30), (15, 15), (15, 15), (7, 7), (7, 7), (), (), ()]


def test_net_of_the_bernoulli_slides():
    net = build("bernoulli_cnn", (1, 24, 24))
    assert weight_shapes(net) == [(8, 1, 6, 6), (32, 8, 10, 10), (64, 32), (80, 64), (10, 80)]
    assert [fans(layer)[0] for layer in binary_layers(net).values()] == [36, 800, 32, 64, 80]
    shapes = []
    for layer in binary_layers(net).values():
        layer.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    assert net(torch.randn(2, 1, 24, 24)).shape == (2, 10)
    assert shapes == [(8, 10, 10), (32, 1, 1), (64,), (80,), (10,)]
    assert build("bernoulli_cnn", (1, 25, 25))(torch.randn(2, 1, 25, 25)).shape == (2, 10)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("input_shape", [(1, 8, 8), (3, 12, 10)])
def test_output_is_a_logit_per_class(name, input_shape):
    if name in LEAST_SIDE:
        input_shape = images_for(name, input_shape[0])
    net = build(name, input_shape, classes=7, **SMALL.get(name, {}))
    assert net(torch.randn(5, *input_shape)).shape == (5, 7)


def test_order_inside_a_block():
    block = [BinaryConv2d, nn.BatchNorm2d, ActivationSign]
    pooled = [BinaryConv2d, nn.MaxPool2d, nn.BatchNorm2d, ActivationSign]
    dense = [BinaryLinear, nn.BatchNorm1d, ActivationSign]
    last = [BinaryLinear, nn.BatchNorm1d]
    assert [type(m) for m in build("vgg", (3, 8, 8), width=2)] == 3 * (block + pooled) + [nn.Flatten] + 2 * dense + last
    assert [type(m) for m in build("mlp", (1, 8, 8), width=2, depth=2)] == [nn.Flatten] + 2 * dense + last
    assert [type(m) for m in build("tiny", (1, 8, 8))] == [*pooled, nn.Flatten, *dense, *last]


class Roles(Parts):
    """Ordinary parts that write down the role of each layer, "dropped" behind it, and of each batch norm."""

    seen: ClassVar[list[str]] = []

    def linear(self, role, in_features, out_features, *, after_dropout=False):
        self.seen.append(f"{role} dropped" if after_dropout else role)
        return super().linear(role, in_features, out_features)

    def conv(self, role, *sizes, **options):
        self.seen.append(role)
        return super().conv(role, *sizes, **options)

    def norm(self, kind, role, features, settings):
        self.seen.append(f"norm {role}")
        return super().norm(kind, role, features, settings)


@pytest.mark.parametrize(
    ("name", "settings", "layers"),
    [
        ("mlp", {"depth": 1}, ["first", "output"]),
        ("mlp", {"depth": 3}, ["first", "hidden", "hidden", "output"]),
        ("mlp", {"depth": 2, "dropout_input": 0.2}, ["first dropped", "hidden", "output"]),
        ("mlp", {"depth": 2, "dropout_hidden": 0.5}, ["first", "hidden dropped", "output dropped"]),
        ("vgg", {}, ["first", *7 * ["hidden"], "output"]),
        ("tiny", {}, ["first", "hidden", "output"]),
        ("bernoulli_cnn", {}, ["first", *3 * ["hidden"], "output"]),
    ],
)
def test_every_layer_is_built_for_its_role_and_its_norm_too(name, settings, layers):
    Roles.seen.clear()
    build(name, (1, 8, 8), parts=Roles(WeightSign, ActivationSign), **SMALL.get(name, {}) | settings)
    assert Roles.seen[::2] == layers
    assert Roles.seen[1::2] == [f"norm {role.split()[0]}" for role in layers]


def test_batch_norm_is_that_of_binarynet():
    norms = [m for m in build("tiny", (1, 8, 8)) if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == 3 * [(1e-4, 0.1)]


def test_batch_norm_without_scale_keeps_gamma_at_one(fit):
    net = NETS["vgg"].Config(width=2, norm_scale=False)
    method = METHODS["ste"](METHODS["ste"].Config(), net, (1, 8, 8), 10, "cross_entropy")
    fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=2)
    norms = [m for m in method.net if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(norms) == 9
    assert all(torch.equal(norm.weight, torch.ones_like(norm.weight)) for norm in norms)
    assert all((norm.bias != 0).any() for norm in norms)


def test_dropout_of_the_published_mnist_setting():
    net = build("mlp", (1, 8, 8), width=16, depth=2, dropout_input=0.2, dropout_hidden=0.5)
    hidden = [BinaryLinear, nn.BatchNorm1d, ActivationSign, nn.Dropout]
    assert [type(m) for m in net] == [nn.Flatten, nn.Dropout] + 2 * hidden + [BinaryLinear, nn.BatchNorm1d]
    assert [m.p for m in net if isinstance(m, nn.Dropout)] == [0.2, 0.5, 0.5]
    x = torch.randn(4, 1, 8, 8)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_every_layer_has_a_quantizer_of_its_own():
    net = build("vgg", (3, 8, 8), width=2, parts=Parts(WeightSign, lambda: Activation(nn.ReLU())))
    quantizers = [id(m) for m in net.modules() if isinstance(m, WeightSign | Activation)]
    assert len(quantizers) == len(set(quantizers)) == 9 + 8


@pytest.mark.parametrize(
    ("name", "settings", "side"),
    [
        ("vgg", {}, 8),
        ("vgg", {"first_padding": 0}, 10),
        ("tiny", {}, 4),
        ("bernoulli_cnn", {}, 24),
        ("vgg_small", {}, 8),
        ("resnet20", {}, 4),
        ("resnet18", {}, 8),
        ("birealnet18", {}, 32),
        ("xnornet", {}, 60),
    ],
)
def test_images_that_are_too_small(name, settings, side):
    build(name, (1, side, side), width=2, **settings)
    for height, width in [(side - 1, side), (side, side - 1)]:
        with pytest.raises(UserError, match=f"at least .*{side}×{side}.* not {height}×{width}$"):
            build(name, (1, height, width), width=2, **settings)


def test_a_net_that_asks_for_no_layer_is_refused(monkeypatch):
    plain = nn.Linear(64, 10)
    monkeypatch.setattr(NETS["tiny"], "__init__", lambda net, *arguments: nn.Sequential.__init__(net, plain))
    with pytest.raises(UserError, match=r"^net=tiny has no layer for a method: ask parts\.linear or parts\.conv"):
        METHODS["ste"](METHODS["ste"].Config(), NETS["tiny"].Config(), (1, 8, 8), 10, "cross_entropy")


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_every_net(method, net, precision, fit):
    shape = images_for(net)
    arguments = METHODS[method].Config(), NETS[net].Config(**SMALL.get(net, {})), shape, 10, "squared_hinge"
    if method == "pbnet" and net in REAL_ENDS:
        with pytest.raises(UserError, match=f"^net={net} with method=pbnet: its layers pass distributions on"):
            METHODS[method](*arguments)
        return
    model = METHODS[method](*arguments)
    before = {name: value.clone() for name, value in model.net.state_dict().items()}
    torch.manual_seed(0)
    x, y = torch.randn(32, *shape), torch.arange(32) % 10
    fit(model, x, y, epochs=2, precision=precision)
    after = model.net.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    norm_weights = [n for n in after if not any(n.startswith(layer + ".") for layer in binary_layers(model.net))]
    moved = [n for n in norm_weights if not torch.equal(before[n], after[n])]
    assert set(moved) == set(norm_weights)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.net.parameters())


def norms_of(net):
    return [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]


def test_running_factors_of_dense_layers_and_of_the_last():
    settings = {"norm_eps": 0.5, "norm_factor": 0.2, "norm_factor_dense": 0.1}
    assert [(n.eps, n.momentum) for n in norms_of(build("tiny", (1, 8, 8), **settings))] == [
        (0.5, f) for f in (0.2, 0.1, 0.1)
    ]
    last = norms_of(build("vgg", (3, 8, 8), width=2, norm_factor=0.125, norm_factor_output=0.1))
    assert [n.momentum for n in last] == [0.125] * 8 + [0.1]


def test_batch_norm_that_learns_nothing(fit):
    net = NETS["tiny"].Config(width=2, norm_affine=False)
    method = METHODS["bayesbinn"](METHODS["bayesbinn"].Config(), net, (1, 8, 8), 10, "cross_entropy")
    fit(method, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=2)
    norms = norms_of(method.net)
    assert len(norms) == 3
    assert all(torch.equal(n.weight, torch.ones_like(n.weight)) and not n.bias.any() for n in norms)
    assert all(n.running_mean.any() for n in norms)


def test_widths_and_dense_units():
    net = build("mlp", (1, 8, 8), width=5, depth=1, widths=[7, 16, 9], dropout_hidden=0.5)
    assert weight_shapes(net) == [(7, 64), (16, 7), (9, 16), (10, 9)]
    assert len([m for m in net if isinstance(m, nn.Dropout)]) == 3
    assert weight_shapes(build("vgg", (3, 8, 8), width=2, dense=24))[-3:] == [(24, 8), (24, 24), (10, 24)]


@pytest.mark.parametrize("name", [name for name in NETS if getattr(NETS[name].Config, "output_norm", False)])
def test_without_a_norm_at_the_output_logits_are_sums(name):
    net = build(name, (1, 8, 8), output_norm=False, **SMALL.get(name, {}))
    logits = net(torch.randn(5, 1, 8, 8))
    assert isinstance(list(net)[-1], BinaryLinear)
    assert torch.equal(logits, logits.round())
    assert logits.shape == (5, 10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "settings", [{"norm": "layer"}, {"norm_running": "inverse_std"}, {"output_norm": False}], ids=str
)
def test_methods_train_with_what_a_net_asks_for_or_say_that_they_cannot(method, settings, fit):
    config = NETS["tiny"].Config(width=2, **settings)
    arguments = METHODS[method].Config(), config, (1, 8, 8), 10, "cross_entropy"
    if method == "pbnet" or (method == "ste_shift" and "output_norm" not in settings):
        with pytest.raises(UserError, match=f"net.{next(iter(settings))}=.*method={method}"):
            METHODS[method](*arguments)
        return
    model = METHODS[method](*arguments)
    fit(model, torch.randn(20, 1, 8, 8), torch.arange(20) % 10, epochs=2)
    assert all(value.isfinite().all() for value in model.net.state_dict().values())
