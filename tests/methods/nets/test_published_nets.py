"""The nets of the literature: sizes as published, sides of maps, and the order of layers in plain torch."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods import METHODS
from methods.binary.layers import BinaryConv2d, Parts, binary_layers
from methods.binary.sign import ActivationSign, Identity, Quantizer, WeightSign
from methods.nets import NETS
from methods.nets.residual import Sum, real_layers

PARTS = Parts(WeightSign, ActivationSign)
SHAPES_ONLY = Parts(Identity, Identity)  # signs are not made on the device "meta"
CIFAR, IMAGENET = ((3, 32, 32), 10), ((3, 224, 224), 1000)


def build(name, images=CIFAR, device="cpu", parts=PARTS, **settings):
    shape, classes = images
    parts = SHAPES_ONLY if device == "meta" else parts
    with torch.device(device):
        return NETS[name](NETS[name].Config(**settings), parts, shape, classes)


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net, shape):
    """(of binary layers, of real ones), for one image, from the shapes that the layers see."""
    counts = {True: 0, False: 0}

    def count(layer, inputs, output):
        places = math.prod(output.shape[2:])
        counts[hasattr(layer, "quantizer")] += layer.weight.numel() * places

    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(count)
    net.eval()(torch.zeros(1, *shape, device="meta"))
    return counts[True], counts[False]


def conv(side, kernel, inputs, outputs, times=1):
    return times * side**2 * kernel**2 * inputs * outputs


# name, settings: parameters, and multiply-adds of binary and of real layers from the tables of the papers
PUBLISHED = {
    "vgg_small": (
        4_660_106,  # 4.66 M
        conv(32, 3, 128, 128)
        + conv(16, 3, 128, 256)
        + conv(16, 3, 256, 256)
        + conv(8, 3, 256, 512)
        + conv(8, 3, 512, 512),
        conv(32, 3, 3, 128) + 8192 * 10,
    ),
    "resnet20": (
        269_850,  # .27 M
        conv(32, 3, 16, 16, 6)
        + conv(16, 3, 16, 32)
        + conv(16, 3, 32, 32, 5)
        + conv(8, 3, 32, 64)
        + conv(8, 3, 64, 64, 5),
        conv(32, 3, 3, 16) + 64 * 10,
    ),
    "resnet18": (
        11_174_986,  # 11.17 M: the usual ResNet-18 for CIFAR, 11,173,962, and batch norm before its last layer
        conv(32, 3, 64, 64, 4)
        + sum(conv(32 // k, 3, 32 * k, 64 * k) + conv(32 // k, 3, 64 * k, 64 * k, 3) for k in (2, 4, 8)),
        conv(32, 3, 3, 64) + sum(conv(32 // k, 1, 32 * k, 64 * k) for k in (2, 4, 8)) + 512 * 10,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_multiply_adds_of_the_cifar_nets(name):
    net = build(name, device="meta")
    count, binary, real = PUBLISHED[name]
    assert parameters(net) == count
    assert multiply_adds(net, CIFAR[0]) == (binary, real)


def test_counts_of_bireal_net():
    """Its paper has 1.63e8 operations: 64 binary ones count as one, and the last layer's 512,000 do not count."""
    net = build("birealnet18", IMAGENET, device="meta")
    channels = 64 + 4 * (64 + 128 + 256 + 512) + 128 + 256 + 512  # of batch norm
    assert parameters(net) == 11_699_112 - 2 * channels
    assert state(net) == 11_699_112
    assert sum(layer.weight.numel() for layer in binary_layers(net).values()) == 10_985_472
    binary, real = multiply_adds(net, IMAGENET[0])
    assert binary == conv(56, 3, 64, 64, 4) + sum(
        conv(56 // k, 3, 32 * k, 64 * k) + conv(56 // k, 3, 64 * k, 64 * k, 3) for k in (2, 4, 8)
    )
    assert real == conv(112, 7, 3, 64) + sum(conv(56 // k, 1, 32 * k, 64 * k) for k in (2, 4, 8)) + 512_000
    assert round((binary / 64 + real - 512_000) / 1e8, 2) == 1.63


def test_counts_of_xnor_net():
    """The zoo's summary counts β and both statistics of batch norm, whose γ it does not have."""
    net = build("xnornet", IMAGENET, device="meta", norm_scale=False)
    channels = 96 + 96 + 256 + 384 + 384 + 256 + 4096 + 4096
    assert state(net) - channels == 62_396_768
    assert multiply_adds(net, IMAGENET[0]) == (
        conv(27, 5, 96, 256) + conv(13, 3, 256, 384) + conv(13, 3, 384, 384) + conv(13, 3, 384, 256)
        + 36 * 256 * 4096 + 4096 * 4096,
        conv(56, 11, 3, 96) + 4096 * 1000,
    )  # fmt: skip


def state(net):
    """Numbers in the state, without the counts of batches."""
    return sum(t.numel() for name, t in net.state_dict().items() if "num_batches" not in name)


SIDES = {
    "vgg_small": [32, 32, 16, 16, 8, 8],
    "resnet20": 7 * [32] + 6 * [16] + 6 * [8],
    "resnet18": 5 * [32] + 5 * [16] + 5 * [8] + 5 * [4],
    "birealnet18": [112] + 4 * [56] + 5 * [28] + 5 * [14] + 5 * [7],
    "xnornet": [56, 27, 13, 13, 13, 1, 1],
}


@pytest.mark.parametrize("name", SIDES)
def test_sides_of_the_maps_at_every_convolution(name):
    images = IMAGENET if name in ("birealnet18", "xnornet") else CIFAR
    net, sides = build(name, images, device="meta"), []
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, inputs, output: sides.append(tuple(output.shape[2:])))
    logits = net.eval()(torch.zeros(2, *images[0], device="meta"))
    assert logits.shape == (2, images[1])
    assert sides == [(side, side) for side in SIDES[name]]


# The same nets once more: functions of an image and of the parameters in the order in which they are used.


class Restated:
    """Plain torch. `take()` gives the next module of the net that has parameters, whose numbers are then used here."""

    def __init__(self, net, nonlinearity="hardtanh"):
        self.modules = iter([m for m in net.modules() if isinstance(getattr(m, "weight", None), torch.Tensor)])
        self.f = nonlinearity

    def take(self, kind):
        module = next(self.modules)
        assert isinstance(module, kind)
        return module

    def conv(self, x, stride=1, padding=1):
        return F.conv2d(x, self.take(nn.Conv2d).weight, stride=stride, padding=padding)

    def binary(self, x, stride=1, padding=1):
        layer = self.take(BinaryConv2d)
        return F.conv2d(hard_sign(x), through_sign(layer.weight), stride=stride, padding=padding)

    def norm(self, x):
        norm = self.take((nn.BatchNorm1d, nn.BatchNorm2d))
        over = [0, *range(2, x.dim())]
        mean, variance = x.mean(over, keepdim=True), x.var(over, correction=0, keepdim=True)
        shape = mean.shape
        return (x - mean) / (variance + norm.eps).sqrt() * norm.weight.view(shape) + norm.bias.view(shape)

    def act(self, x):
        if self.f == "prelu":
            slope = self.take(nn.PReLU).weight.view(1, -1, 1, 1)
            return torch.where(x >= 0, x, slope * x)
        return {"hardtanh": lambda x: x.clamp(-1, 1), "relu": torch.relu, "none": lambda x: x}[self.f](x)

    def linear(self, x):
        layer = self.take(nn.Linear)
        return x @ layer.weight.T + (0 if layer.bias is None else layer.bias)


def hard_sign(x):
    """sign(x), sign(0) = +1, with the gradient of x clipped to [−1, 1]."""
    clipped = x.clamp(-1, 1)
    return torch.where(x >= 0, 1.0, -1.0) - clipped.detach() + clipped


def through_sign(w):
    return torch.where(w >= 0, 1.0, -1.0) - w.detach() + w


def average(x):
    """Means of 2×2 places."""
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def widened(x, outputs):
    empty = torch.zeros_like(x[:, :1]).expand(-1, (outputs - x.shape[1]) // 2, -1, -1)
    return torch.cat((empty, x, empty), 1)


def around(r, x, outputs, stride, kind):
    if (x.shape[1], stride) == (outputs, 1):
        return x
    match kind:
        case "subsample":
            return widened(x[:, :, ::2, ::2], outputs)
        case "average":
            return widened(average(x), outputs)
        case "conv":
            return r.norm(r.conv(x, stride, 0))
        case "average_conv":
            return r.norm(r.conv(average(x), 1, 0))
        case "binary":
            return r.norm(r.binary(x, stride, 0))


def blocks(r, x, widths, count, shortcut, downsample, relu=False):
    def branch(x, stride):
        y = r.binary(x, stride)
        return r.norm(torch.relu(y) if relu else y)

    for stage, outputs in enumerate(widths):
        for block in range(count):
            stride = 2 if stage and not block else 1
            y = branch(x, stride)
            if shortcut == "double":
                h = r.act(y + around(r, x, outputs, stride, downsample))
                x = r.act(branch(h, 1) + h)
            else:  # the order of parameters: both convolutions, then the shortcut
                y = branch(r.act(y), 1)
                x = r.act(y + around(r, x, outputs, stride, downsample))
    return x


def vgg_small(net, x, nonlinearity="hardtanh", relu=False, pool_last=False):
    r = Restated(net, nonlinearity)
    for layer in range(6):
        x = r.binary(x) if layer else r.conv(x)
        x = torch.relu(x) if relu else x
        x = F.max_pool2d(x, 2) if layer % 2 and not pool_last else x
        x = r.norm(x)
        x = F.max_pool2d(x, 2) if layer % 2 and pool_last else x
        x = r.act(x)
    return r.linear(x.flatten(1)), r


def resnet20(net, x, nonlinearity="hardtanh", shortcut="double", downsample="subsample", relu=False):
    r = Restated(net, nonlinearity)
    x = r.conv(x)
    x = r.act(r.norm(torch.relu(x) if relu else x))
    x = blocks(r, x, (4, 8, 16), 3, shortcut, downsample, relu)
    return r.linear(r.norm(x.mean((2, 3)))), r


def resnet18(net, x, nonlinearity="hardtanh", shortcut="single", downsample="conv"):
    r = Restated(net, nonlinearity)
    x = blocks(r, r.norm(r.conv(x)), (4, 8, 16, 32), 2, shortcut, downsample)
    return r.linear(r.norm(x.mean((2, 3)))), r


def birealnet18(net, x, nonlinearity="none", downsample="average_conv", relu=False, dense_norm=False):
    r = Restated(net, nonlinearity)
    x = r.conv(x, 2, 3)
    x = r.act(r.norm(torch.relu(x) if relu else x))
    x = blocks(r, F.max_pool2d(x, 3, 2, 1), (4, 8, 16, 32), 2, "double", downsample, relu).mean((2, 3))
    return r.linear(r.norm(x) if dense_norm else x), r


def xnornet(net, x):
    r = Restated(net)
    x = F.max_pool2d(torch.relu(r.norm(r.conv(F.pad(x, (3, 4, 3, 4)), 4, 0))), 3, 2)
    x = F.max_pool2d(r.binary(r.norm(x), padding=2), 3, 2)
    for _ in range(2):
        x = r.binary(r.norm(x))
    x = F.max_pool2d(r.binary(r.norm(x)), 3, 2)
    x = r.binary(r.norm(r.binary(r.norm(x), padding=0)), padding=0)
    return r.linear(torch.relu(r.norm(x)).flatten(1)), r


SMALL = {"width": 4}
ORDERS = [
    ("vgg_small", SMALL, {}, vgg_small, 16),
    ("vgg_small", {"nonlinearity": "prelu"}, {"nonlinearity": "prelu"}, vgg_small, 16),
    (
        "vgg_small",
        {"nonlinearity": "none", "relu_before_norm": True, "pool_after_norm": True},
        {"nonlinearity": "none", "relu": True, "pool_last": True},
        vgg_small,
        16,
    ),
    ("resnet20", {}, {}, resnet20, 16),
    ("resnet20", {"shortcut": "single", "downsample": "average"}, {"shortcut": "single", "downsample": "average"},
     resnet20, 16),
    (
        "resnet20",
        {"shortcut": "single", "nonlinearity": "none", "relu_before_norm": True},
        {"shortcut": "single", "nonlinearity": "none", "relu": True},
        resnet20,
        16,
    ),
    ("resnet20", {"nonlinearity": "prelu"}, {"nonlinearity": "prelu"}, resnet20, 16),
    ("resnet20", {"nonlinearity": "relu"}, {"nonlinearity": "relu"}, resnet20, 16),
    ("resnet18", {}, {}, resnet18, 16),
    ("resnet18", {"downsample": "binary"}, {"downsample": "binary"}, resnet18, 16),
    ("resnet18", {"shortcut": "double", "downsample": "average"}, {"shortcut": "double", "downsample": "average"},
     resnet18, 16),
    ("birealnet18", {}, {}, birealnet18, 64),
    (
        "birealnet18",  # IR-Net, ReCU
        {"nonlinearity": "hardtanh", "first_nonlinearity": True, "downsample": "conv", "dense_norm": True},
        {"nonlinearity": "hardtanh", "downsample": "conv", "dense_norm": True},
        birealnet18,
        64,
    ),
    (
        "birealnet18",  # ReSTE
        {"relu_before_norm": True, "downsample": "conv", "dense_norm": True},
        {"relu": True, "downsample": "conv", "dense_norm": True},
        birealnet18,
        64,
    ),
    ("xnornet", {"width": 6, "dense": 10}, {}, xnornet, 68),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "order", "restated", "side"), ORDERS)
def test_layers_come_in_the_published_order(name, settings, order, restated, side):
    """The same weights, in training: outputs, gradients at the input and of every parameter."""
    torch.manual_seed(0)
    net = build(name, ((3, side, side), 7), **(SMALL | settings)).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0.1, 0.7)
    images = torch.randn(3, 3, side, side, dtype=torch.float64, requires_grad=True)
    again = images.detach().clone().requires_grad_()
    toward = torch.randn(3, 7, dtype=torch.float64)

    logits = net(images)
    given = torch.autograd.grad((logits * toward).sum(), [images, *net.parameters()])
    expected, rest = restated(net, again, **order)
    asked = torch.autograd.grad((expected * toward).sum(), [again, *net.parameters()])

    assert next(rest.modules, None) is None
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(given, asked, rtol=1e-6, atol=1e-8)
    assert all(gradient.any() for gradient in given)


def test_zero_channels_and_averages_of_odd_sides():
    net = build("resnet20", ((1, 10, 6), 3), width=2, downsample="average")
    for module in net.modules():
        if isinstance(module, Sum) and len(module.shortcut):
            x = torch.arange(2.0 * 1 * 5 * 3).view(1, 2, 5, 3)
            y = module.shortcut(x) if module.branch[1].in_channels == 2 else None
            if y is not None:
                assert y.shape == (1, 4, 3, 2)
                assert not y[:, [0, 3]].any()
                assert y[0, 1].tolist() == [[2, 3.5], [8, 9.5], [12.5, 14]]
    assert net(torch.randn(4, 1, 10, 6)).shape == (4, 3)


def test_batch_norm_is_that_of_each_source():
    def norms(name, images=CIFAR, **settings):
        net = build(name, images, device="meta", **settings)
        return [(m.eps, m.momentum) for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]

    for name in PUBLISHED:
        assert set(norms(name)) == {(1e-5, 0.1)}
    assert set(norms("birealnet18", IMAGENET)) == {(1e-3, 0.2)}
    assert norms("xnornet", IMAGENET) == [(1e-5, 0.1), *6 * [(1e-4, 0.1)], (1e-3, 0.1)]
    assert set(norms("xnornet", IMAGENET, norm_eps=0.5)) == {(0.5, 0.1)}


def test_real_weights_start_as_published():
    torch.manual_seed(0)
    first, last = real_layers(build("vgg_small"))
    assert first.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.05)
    assert last.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not last.bias.any()
    first, last = real_layers(build("resnet20", width=64))
    assert first.weight.std().item() == pytest.approx(math.sqrt(2 / 27), rel=0.05)
    assert last.weight.std().item() == pytest.approx(math.sqrt(2 / 256), rel=0.05)
    for layer in real_layers(build("birealnet18", ((3, 32, 32), 100))):
        area = layer.weight[0, 0].numel()
        bound = math.sqrt(2 / (area * sum(layer.weight.shape[:2])))
        assert layer.weight.std().item() == pytest.approx(bound, rel=0.05)


class Shifted(Quantizer):
    """A sign with a parameter for each channel, as ReActNet's RSign has."""

    def __init__(self, channels):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.sign = ActivationSign()

    def quantize(self, x):
        return self.sign(x + self.shift.view(-1, *[1] * (x.dim() - 2)))


class ShiftedParts(Parts):
    def activation_for(self, channels):
        return Shifted(channels)


@pytest.mark.parametrize("name", NETS)
def test_a_sign_with_parameters_for_each_channel_fits_every_net(name):
    from tests.methods.nets.test_nets import SMALL, images_for

    shape = images_for(name)
    net = build(name, (shape, 10), parts=ShiftedParts(WeightSign, ActivationSign), **SMALL[name])
    signs = [m for m in net.modules() if isinstance(m, Shifted)]
    net(torch.randn(5, *shape)).square().sum().backward()
    assert signs
    assert all(sign.shift.grad is not None and sign.shift.grad.any() for sign in signs)


def test_real_layers_are_trained_with_the_rest(fit):
    """Bop flips the binary weights; Adam has the real layers, the slopes of PReLU and batch norm."""
    config = NETS["resnet20"].Config(width=2, nonlinearity="prelu", downsample="conv")
    method = METHODS["bop"](METHODS["bop"].Config(threshold=0.0), config, (1, 8, 8), 10, "cross_entropy")
    before = {name: p.detach().clone() for name, p in method.net.named_parameters()}
    trainer = fit(method, torch.randn(40, 1, 8, 8), torch.arange(40) % 10, epochs=2)
    flipper, adam = trainer.optimizers[0].optimizers
    binary = {id(layer.weight) for layer in binary_layers(method.net).values()}
    assert {id(p) for group in flipper.param_groups for p in group["params"]} == binary
    owned = {id(p) for group in adam.param_groups for p in group["params"]}
    assert {id(layer.weight) for layer in real_layers(method.net)} <= owned
    assert owned.isdisjoint(binary)
    assert len(list(real_layers(method.net))) == 4
    assert all(not torch.equal(before[name], p) for name, p in method.net.named_parameters())
    assert all((layer.weight.abs() == 1).all() for layer in binary_layers(method.net).values())
