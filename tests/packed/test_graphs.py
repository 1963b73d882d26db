"""Nets of the literature, packed: shortcuts, real ends, and what passes between them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import packed
from methods import METHODS
from methods.binary.layers import BinaryConv2d, BinaryLinear
from methods.binary.sign import ActivationSign, WeightSign
from methods.nets.residual import Sum
from packed import PackedNet, PackError, engine
from packed.c_export import to_c
from packed.compare import explain
from packed.file import from_bytes, to_bytes
from packed.fold import fold
from packed.operations import Activation, Add, Average, Conv, Dense, Flatten, Input, Norm, Pad, Pool, Prelu, Threshold
from packed.reference import apply
from tests.packed import reader
from tests.packed.conftest import scaled

SMALL = {"width": 3}
RESTE = {"nonlinearity": "none", "relu_before_norm": True}
NETS = [
    ("vgg_small", (3, 8, 10), {}),
    ("vgg_small", (3, 9, 8), {"width": 6, **RESTE, "pool_after_norm": True}),
    ("resnet20", (3, 8, 8), {}),
    ("resnet20", (1, 9, 7), {"downsample": "average", "nonlinearity": "prelu"}),
    ("resnet20", (3, 8, 8), {"shortcut": "single", **RESTE}),
    ("resnet20", (3, 8, 8), {"shortcut": "single", "downsample": "conv", "nonlinearity": "relu"}),
    ("resnet18", (3, 8, 8), {}),
    ("resnet18", (3, 8, 8), {"shortcut": "double", "downsample": "binary", "output_norm": True}),
    ("birealnet18", (3, 32, 32), {}),
    ("xnornet", (3, 60, 60), {"width": 6, "dense": 12}),
]


def logits_of(net, images, scaling="symmetric"):
    with torch.no_grad():
        return net(scaled(images, scaling)).numpy()


def nearly(found, expected):
    """Equal but for the order in which real products were added."""
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.fixture
def trained(make):
    def trained(name, shape, settings, method="ste"):
        made = make(method, name, shape=shape, outliers=False, **(SMALL | settings)).net
        for module in made.modules():
            if isinstance(module, nn.PReLU):
                nn.init.normal_(module.weight)
        return made

    return trained


@pytest.mark.parametrize(("name", "shape", "settings"), NETS)
def test_logits_are_the_trained_nets(name, shape, settings, trained, images):
    net = trained(name, shape, settings)
    folded = fold(net, shape, "symmetric")
    again = from_bytes(to_bytes(folded))
    x = images(shape, 30)
    expected = logits_of(net, x)
    assert len(np.unique(expected, axis=0)) > 10  # the net tells images apart
    for one in (folded, again):
        for way in ("fast", "reference"):
            nearly(engine(one, way).logits(x), expected)
    assert explain(net, folded, scaled(x, "symmetric"), x) == []


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("real", "pbnet", "bernoulli")])
def test_every_methods_resnet_is_packed(method, trained, images):
    net = trained("resnet20", (3, 8, 8), {}, method)
    x = images((3, 8, 8), 10)
    expected = logits_of(net, x)
    for way in ("fast", "reference"):
        nearly(engine(fold(net, (3, 8, 8), "symmetric"), way).logits(x), expected)


def test_other_scalings(trained, images):
    net = trained("resnet20", (3, 8, 8), {})
    x = images((3, 8, 8), 10)
    ends = {"shift": np.full(3, 100, np.float32), "scale": np.full(3, 60, np.float32)}
    nearly(engine(fold(net, (3, 8, 8), "standardize", **ends)).logits(x), logits_of(net, x, "standardize"))
    nearly(engine(fold(net, (3, 8, 8), "binary")).logits(x), logits_of(net, x, "binary"))


def test_binary_weights_take_a_bit_and_real_layers_four_bytes(trained):
    folded = fold(trained("resnet18", (3, 8, 8), {"width": 16}), (3, 8, 8), "symmetric")
    bits = {o.weight.nbytes for o in folded.operations if isinstance(o, Conv) and o.weight.dtype == np.uint8}
    assert bits == {k * k * 9 * a // 8 for k, a in ((16, 1), (32, 1), (64, 1), (128, 1))} | {
        2 * k * k * 9 // 8 for k in (16, 32, 64)
    }
    real = [o.weight.shape for o in folded.operations if isinstance(o, Conv | Dense) and o.weight.dtype == np.float32]
    assert real == [(16, 3, 3, 3), (32, 1, 1, 16), (64, 1, 1, 32), (128, 1, 1, 64), (10, 128)]
    arrays = sum(v.nbytes for o in folded.operations for v in vars(o).values() if isinstance(v, np.ndarray))
    assert arrays < len(to_bytes(folded)) < arrays + 20_000


def test_hidden_signs_behind_batch_norm_are_thresholds(trained):
    """Also behind hard tanh, ReLU and pooling; a sum of branches is real, and so is its sign."""
    kinds = [type(o) for o in fold(trained("vgg_small", (3, 8, 8), {}), (3, 8, 8), "symmetric").operations]
    assert kinds.count(Threshold) == 4
    assert kinds.count(Activation) == 3  # hard tanh and sign of the first layer, hard tanh of the last
    reste = fold(trained("vgg_small", (3, 8, 8), {**RESTE, "pool_after_norm": True}), (3, 8, 8), "symmetric")
    assert [type(o) for o in reste.operations].count(Threshold) == 4
    single = fold(trained("resnet20", (3, 8, 8), {"shortcut": "single"}), (3, 8, 8), "symmetric")
    assert sum(isinstance(o, Threshold) for o in single.operations) == 9
    assert sum(isinstance(o, Add) for o in single.operations) == 9
    double = fold(trained("resnet20", (3, 8, 8), {}), (3, 8, 8), "symmetric")
    assert sum(isinstance(o, Activation) and o.function == "sign" for o in double.operations) == 18


def test_residual_values_are_the_trained_nets_to_the_bit(images):
    """Without real products there is one rounding for each value on the way, and the packed net has it too."""

    class Sum(nn.Module):
        adds = ("left", "right")

        def __init__(self, left, right):
            super().__init__()
            self.left, self.right = left, right

        def forward(self, x):
            return self.left(x) + self.right(x)

    torch.manual_seed(0)

    def block(stride):
        shortcut = nn.Sequential(nn.AvgPool2d(stride, ceil_mode=True)) if stride > 1 else nn.Sequential()
        conv = BinaryConv2d(6, 6, 3, WeightSign(), 1, stride)
        return Sum(nn.Sequential(ActivationSign(), conv, nn.BatchNorm2d(6)), shortcut)

    net = nn.Sequential(
        BinaryConv2d(2, 6, 3, WeightSign(), 1), nn.BatchNorm2d(6), nn.Hardtanh(), block(1), nn.Hardtanh(), block(2),
        block(1), nn.Flatten(), ActivationSign(), BinaryLinear(6 * 16, 4, WeightSign()), nn.BatchNorm1d(4),
    )  # fmt: skip
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
            nn.init.uniform_(norm.running_var, 1, 50)
    x = images((2, 7, 8), 50)
    ways = {"symmetric": 1, "binary": 1}
    for scaling in ways:
        folded = fold(net.eval(), (2, 7, 8), scaling)
        if scaling == "binary":  # sums of bytes are 255 times those of the trained net, and so not to the bit
            for way in ("fast", "reference"):
                np.testing.assert_array_equal(engine(folded, way).logits(x), logits_of(net, x, scaling))
        nearly(engine(folded).logits(x), logits_of(net, x, scaling))


def test_an_input_of_signs_that_is_flattened_in_both_branches(images):
    def branch():
        return nn.Sequential(nn.Flatten(), BinaryLinear(48, 6, WeightSign()), nn.BatchNorm1d(6))

    torch.manual_seed(0)
    last = BinaryLinear(6, 4, WeightSign())
    net = nn.Sequential(Sum(branch(), branch()), ActivationSign(), last).eval()
    folded = fold(net, (3, 4, 4), "binary")
    x = images((3, 4, 4))
    for way in ("reference", "fast"):
        np.testing.assert_array_equal(engine(folded, way).logits(x), logits_of(net, x, "binary"))


def test_a_real_net_has_nothing_to_pack_and_a_bernoulli_net_no_affine_sums(trained):
    with pytest.raises(PackError, match=r"layer 0 \(Conv2d\) has real weights, and so has every other"):
        fold(trained("resnet20", (3, 8, 8), {}, "real"), (3, 8, 8), "symmetric")
    with pytest.raises(PackError, match="its output is not an affine function of the sum"):
        fold(trained("resnet20", (3, 8, 8), {}, "bernoulli"), (3, 8, 8), "symmetric")


def test_a_hidden_real_layer_is_refused_and_one_in_a_shortcut_is_not(trained):
    net = trained("resnet20", (3, 8, 8), {"downsample": "conv"})
    fold(net, (3, 8, 8), "symmetric")
    net[3].branch[1] = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    with pytest.raises(PackError, match=r"layer 3.branch.1 \(Conv2d\) has real weights: only .* and shortcuts may"):
        fold(net, (3, 8, 8), "symmetric")


def test_c_has_no_shortcuts_and_says_so(trained):
    with pytest.raises(PackError, match="C has no sums of branches"):
        to_c(fold(trained("resnet20", (3, 8, 8), {}), (3, 8, 8), "symmetric"))
    with pytest.raises(PackError, match="the first layer takes real numbers"):
        to_c(fold(trained("vgg_small", (3, 8, 8), {}), (3, 8, 8), "symmetric"))


@pytest.mark.parametrize(("name", "shape", "settings"), [NETS[i] for i in (1, 2, 5, 7, 8, 9)])
def test_twins_and_onnx_compute_the_same_net(name, shape, settings, trained, images):
    from packed.bench import torch_twin

    folded = fold(trained(name, shape, settings), shape, "symmetric")
    x = images(shape, 6)
    expected = engine(folded).logits(x)
    with torch.no_grad():
        nearly(torch_twin(folded)(scaled(x, "symmetric")).numpy(), expected)
    pytest.importorskip("onnx", reason="the dependency group onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the dependency group onnx is not installed")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes

    from packed.qonnx_export import to_onnx

    session = runtime.InferenceSession(to_onnx(folded, None, quantized=False).SerializeToString())
    nearly(session.run(None, {"image": x.astype(np.float32)})[0], expected)
    model = ModelWrapper(to_onnx(folded, len(x))).transform(InferShapes()).transform(InferDataTypes())
    nearly(execute_onnx(model, {"image": x.astype(np.float32)})["logits"], expected)


def test_onnx_refuses_averages_at_an_edge(trained):
    pytest.importorskip("onnx", reason="the dependency group onnx is not installed")
    from packed.qonnx_export import to_onnx

    with pytest.raises(PackError, match="ONNX has no averages of 2×2 at the edge"):
        to_onnx(fold(trained(*NETS[3]), NETS[3][1], "symmetric"))


# The operations, one by one, against their definition; and files.


def real(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def run(operation, x):
    from packed.operations import REAL
    from packed.values import Values, after

    before = Values(REAL, x.shape[1:], 0)
    found = apply(operation, before, x)
    assert found.shape[1:] == after(operation, before).shape
    assert found.dtype == np.float32
    return found


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 2, 1), (3, 2, 0), (2, 0, 0), (1, 2, 0), (3, 1, 1)])
def test_pooling_with_stride_and_padding(size, stride, padding):
    x = real(2, 3, 7, 6) - 5  # a padding of zeros would win
    found = run(Pool(size, stride, padding), x)
    expected = nn.functional.max_pool2d(torch.from_numpy(x), size, stride or size, padding).numpy()
    np.testing.assert_array_equal(found, expected)


def test_averages_at_the_edge_are_of_what_is_inside():
    x = real(2, 3, 7, 5)
    for rows, columns in ((2, 2), (7, 5), (3, 4), (1, 1)):
        found = run(Average(rows, columns), x)
        for i in range(found.shape[2]):
            for j in range(found.shape[3]):
                window = x[:, :, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns].astype(np.float64)
                mean = (window.sum((2, 3)) / (window.shape[2] * window.shape[3])).astype(np.float32)
                np.testing.assert_array_equal(found[:, :, i, j], mean)


def test_padding_and_prelu():
    x = real(2, 3, 4, 5)
    found = run(Pad(1, 2, 3, 0, 0, 4), x)
    assert found.shape == (2, 6, 7, 9)
    np.testing.assert_array_equal(found[:, 1:4, 3:, :5], x)
    assert np.count_nonzero(found) == x.size
    slope = np.array([0.25, -2, 0], np.float32)
    x[0, 1, 0, 0] = 0
    found = run(Prelu(slope), x)
    expected = np.where(x < 0, x * slope[:, None, None], x)
    np.testing.assert_array_equal(found, expected)


def one_pixel():
    """The second example of packed/FORMAT.md."""
    one = np.ones(1, np.float32)
    return PackedNet(
        (1, 1, 1),
        1,
        Input("real", 127.5 * one, 127.5 * one),
        (Flatten(), Activation("sign"), Dense(1, np.zeros((1, 1), np.uint8)), Norm(0 * one, 2 * one, one / 2), Add()),
        {},
        ((-1,), (0,), (1,), (2,), (3, 0)),
    )


def test_the_example_with_a_shortcut(tmp_path):
    path = tmp_path / "net.safetensors"
    packed.save(one_pixel(), path)
    for pixel, logit in ((0, 1.5), (255, -0.5)):
        image = np.full((1, 1, 1), pixel, np.uint8)
        assert reader.predict(path, image)[1] == [logit]
        for way in ("fast", "reference"):
            assert engine(packed.load(path), way).logits(image[None]).tolist() == [[logit]]


@pytest.mark.parametrize(("name", "shape", "settings"), [NETS[i] for i in (0, 1, 3, 7)])
def test_a_reader_of_the_page_predicts_the_same(name, shape, settings, trained, images, tmp_path):
    net = trained(name, shape, settings | {"width": 2})
    path = tmp_path / "net.safetensors"
    packed.save(fold(net, shape, "symmetric"), path)
    x = images(shape, 1)
    nearly(np.array(reader.predict(path, x[0])[1]), logits_of(net, x)[0])


def test_only_what_needs_version_2_has_it(make, trained):
    chain = to_bytes(fold(make("ste", "tiny").net, (3, 9, 8), "symmetric"))
    assert b'"version":"1"' in chain
    assert b'"from"' not in chain
    graph = to_bytes(fold(trained("resnet20", (3, 8, 8), {}), (3, 8, 8), "symmetric"))
    assert b'"version":"2"' in graph
    with pytest.raises(PackError, match=r"operation [0-9]+ is a 'add', which version 1 does not have"):
        from_bytes(graph.replace(b'"version":"2"', b'"version":"1"'))
    strided = fold(trained("xnornet", (3, 60, 60), {"width": 6, "dense": 12}), (3, 60, 60), "symmetric")
    assert b'"version":"2"' in to_bytes(strided)


GRAPHS = {
    "takes results .*, of which some do not come before it": ((-1,), (0,), (1,), (4,), (3, 0)),
    "operation 4 .*takes 1 results": ((-1,), (0,), (1,), (2,), (3,)),
    "operation 3 .*takes 2 results": ((-1,), (0,), (1,), (2, 1), (3, 0)),
    "adds real 1×1×1 to real 1": ((-1,), (0,), (1,), (2,), (3, -1)),
    "no operation takes the result of operation 3": ((-1,), (0,), (1,), (2,), (0, 0)),
    "5 operations, 4 of which say": ((-1,), (0,), (1,), (2,)),
    r"takes results \[\]": ((-1,), (0,), (1,), (), (3, 0)),
}


@pytest.mark.parametrize("text", GRAPHS)
def test_graphs_that_do_not_fit_are_refused(text):
    with pytest.raises(PackError, match=text):
        replace(one_pixel(), sources=GRAPHS[text])


@pytest.mark.parametrize("source", ['"from":[3,4]', '"from":[3,-2]', '"from":[3,0.0]', '"from":"30"', '"from":7'])
def test_files_with_other_sources_are_refused(source, tmp_path):
    from packed.file import digest

    content = to_bytes(one_pixel())
    end = 8 + int.from_bytes(content[:8], "little")
    import json

    header = json.loads(content[8:end])
    net = header["__metadata__"]["net"].replace('"from":[3,0]', source)
    from safetensors.numpy import load

    header["__metadata__"] |= {"net": net, "sha256": digest(net, load(content))}
    text = json.dumps(header).encode()
    with pytest.raises(PackError):
        from_bytes(len(text).to_bytes(8, "little") + text + content[end:])
