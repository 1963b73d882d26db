"""Packed = trained: the logits to the bit where all is integers, the predictions elsewhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from methods import METHODS
from methods.binary.layers import BinaryConv2d, BinaryLinear
from methods.binary.normalization import ChannelNorm
from methods.binary.shift import ShiftBatchNorm1d
from methods.binary.sign import Activation, ActivationSign, Identity, WeightSign
from packed import PackError, engine
from packed.compare import explain
from packed.fold import fold
from packed.modules import operation_of
from packed.operations import Norm, Threshold
from packed.reference import normalize
from packed.tree import Leaf
from packed.values import REAL, Values
from tests.packed.conftest import SHAPES, scaled

REAL_ACTIVATIONS = ("binaryconnect", "bayesbinn")  # with their defaults
BINARY = [name for name in METHODS if name not in (*REAL_ACTIVATIONS, "real")]


def logits_of(net, images, scaling):
    with torch.no_grad():
        return net(scaled(images, scaling)).numpy()


@pytest.mark.parametrize("scaling", ["symmetric", "binary"])
@pytest.mark.parametrize("net", ["mlp", "tiny"])
@pytest.mark.parametrize("method", BINARY)
def test_logits_of_every_method_are_the_trained_nets(method, net, scaling, make, images):
    trained = make(method, net).net
    packed = fold(trained, SHAPES[net], scaling)
    x = images(SHAPES[net])
    expected = logits_of(trained, x, scaling)
    for name in ("fast", "reference"):
        np.testing.assert_array_equal(engine(packed, name).logits(x), expected)
    assert len(np.unique(expected, axis=0)) > 5  # the net tells images apart


@pytest.mark.parametrize("method", ["ste", "ste_shift", "bernoulli", "pbnet"])
@pytest.mark.parametrize("net", ["vgg", "bernoulli_cnn"])
def test_logits_of_the_larger_nets(method, net, make, images):
    trained = make(method, net, seed=3).net
    packed = fold(trained, SHAPES[net], "symmetric")
    x = images(SHAPES[net])
    expected = logits_of(trained, x, "symmetric")
    for name in ("fast", "reference"):
        np.testing.assert_array_equal(engine(packed, name).logits(x), expected)


@pytest.mark.parametrize("how", ["auto", "exact", "clt"])
def test_other_ways_of_the_bernoulli_layers_are_steps_too(how, make, images):
    trained = make("bernoulli", "tiny", settings={"how": how}).net
    packed = fold(trained, SHAPES["tiny"], "symmetric")
    x = images(SHAPES["tiny"])
    np.testing.assert_array_equal(engine(packed).logits(x), logits_of(trained, x, "symmetric"))


@pytest.mark.parametrize("how", ["auto", "exact", "clt"])
def test_a_sum_of_0_is_on_the_upper_side_of_the_step(how, make, images):
    """Of an even number of signs, whose sums float32 has exactly."""
    shape = (1, 6, 6)
    trained = make("bernoulli", "mlp", shape=shape, settings={"how": how}, outliers=False, width=64).net
    x = images(shape)
    with torch.no_grad():
        weight = trained[1].quantizer(trained[1].weight).numpy()
        sums = np.where(x.reshape(len(x), 36) > 127, 1, -1) @ weight.T
        assert (trained[1](scaled(x, "binary").flatten(1)).numpy() == (sums >= 0)).all()
    assert (sums == 0).sum() > 100
    np.testing.assert_array_equal(engine(fold(trained, shape, "binary")).logits(x), logits_of(trained, x, "binary"))


@pytest.mark.parametrize("method", REAL_ACTIVATIONS)
@pytest.mark.parametrize("net", ["mlp", "tiny", "vgg"])
def test_real_activations_stay_real(method, net, make, images):
    trained = make(method, net, outliers=False).net  # float32 cancels where large values meet
    packed = fold(trained, SHAPES[net], "symmetric")
    assert not any(isinstance(o, Threshold) for o in packed.operations)
    x = images(SHAPES[net])
    expected = logits_of(trained, x, "symmetric")
    for name in ("fast", "reference"):
        found = engine(packed, name).logits(x)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


def test_standardized_inputs_keep_a_float_first_layer(make, images):
    trained = make("ste", "tiny").net
    ends = {"shift": np.full(3, 100, np.float32), "scale": np.full(3, 60, np.float32)}
    packed = fold(trained, SHAPES["tiny"], "standardize", **ends)
    x = images(SHAPES["tiny"])
    expected = logits_of(trained, x, "standardize")
    for name in ("fast", "reference"):
        np.testing.assert_array_equal(engine(packed, name).predict(x), expected.argmax(1))
    whitened = fold(trained, SHAPES["tiny"], "zca")
    found = engine(whitened).logits(scaled(x, "standardize").numpy())
    np.testing.assert_array_equal(found, engine(packed).logits(x))


def test_a_binarized_net_is_packed_as_it_evaluates(make, images):
    from methods.binary.sign import as_signs

    trained = make("real", "tiny").net
    x = images(SHAPES["tiny"])
    with as_signs(trained):
        packed = fold(trained, SHAPES["tiny"], "symmetric")
        expected = logits_of(trained, x, "symmetric")
    np.testing.assert_array_equal(engine(packed).logits(x), expected)


def one_layer(norm, weight):
    """A layer of given ±1 weights, its norm and sign, and one output layer that copies the signs."""
    outputs = len(weight)
    layer = BinaryLinear(weight.shape[1], outputs, Identity(binary=True))
    last = BinaryLinear(outputs, 2, Identity(binary=True))
    with torch.no_grad():
        layer.weight.copy_(weight)
        last.weight.copy_(torch.ones(2, outputs))
    return nn.Sequential(nn.Flatten(), layer, norm, ActivationSign(), last).eval()


@settings(max_examples=60, deadline=None)
@given(
    gamma=st.lists(st.sampled_from([-2.0, -1.0, -1e-30, -0.0, 0.0, 1e-30, 0.3, 1.0]), min_size=4, max_size=4),
    beta=st.lists(st.sampled_from([-1e9, -1.0, -1e-7, -0.0, 0.0, 0.5, 1e9]), min_size=4, max_size=4),
    mean=st.lists(st.sampled_from([-5.0, -3.0, 0.0, 1.0, 2.9999998, 3.0]), min_size=4, max_size=4),
    variance=st.sampled_from([0.0, 1.0 - 1e-4, 30.0]),
    terms=st.integers(1, 9),
    shift=st.booleans(),
)
def test_thresholds_are_those_of_the_batch_norm_at_every_sum(gamma, beta, mean, variance, terms, shift):
    """Ties above all: (S − mean)·γ + β is exactly 0 at many of these sums."""
    norm = ShiftBatchNorm1d(4, eps=1e-4, statistic="variance") if shift else nn.BatchNorm1d(4, eps=1e-4)
    with torch.no_grad():
        for tensor, values in ((norm.weight, gamma), (norm.bias, beta), (norm.running_mean, mean)):
            tensor.copy_(torch.tensor(values))
        norm.running_var.fill_(variance)
    packed = fold(one_layer(norm, torch.ones(4, terms)), (1, 1, terms), "binary")
    found = next(o for o in packed.operations if isinstance(o, Threshold))
    for total in range(-terms, terms + 1, 2):
        expected = norm(torch.full((1, 4), float(total)))[0] >= 0
        bits = (total >= found.threshold) != found.inversions()
        assert bits.tolist() == expected.tolist(), total


def test_a_tie_counts_as_plus_one():
    norm = nn.BatchNorm1d(3, eps=0.0)
    norm.running_mean.copy_(torch.tensor([1.0, 1.0, 1.0]))
    norm.running_var.fill_(1.0)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -1.0, 0.0]))
    packed = fold(one_layer(norm, torch.ones(3, 3)), (1, 1, 3), "binary")
    found = packed.operations[2]
    # sums −3, −1, 1, 3: batch norm is 0 at 1, and sign(0) = +1
    assert found.threshold.tolist() == [1, 3, -3]
    assert found.inversions().tolist() == [False, True, False]


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 70),
    outputs=st.integers(1, 9),
    kernel=st.integers(1, 4),
    padding=st.integers(0, 3),
    stride=st.integers(1, 3),
    pool=st.integers(1, 2),
    rows=st.integers(4, 7),
    columns=st.integers(4, 7),
    seed=st.integers(0, 2**16),
)
def test_convolutions_of_any_shape(channels, outputs, kernel, padding, stride, pool, rows, columns, seed):
    torch.manual_seed(seed)
    padding = min(padding, kernel - 1)
    side = (min(rows, columns) + 2 * padding - kernel) // stride + 1
    pool = min(pool, side)
    first = BinaryConv2d(2, channels, 1, WeightSign())
    conv = BinaryConv2d(channels, outputs, kernel, WeightSign(), padding, stride)
    norms = nn.BatchNorm2d(channels), nn.BatchNorm2d(outputs)
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    sides = [(n + 2 * padding - kernel) // stride + 1 for n in (rows, columns)]
    features = outputs * (sides[0] // pool) * (sides[1] // pool)
    net = nn.Sequential(
        first, norms[0], ActivationSign(), conv, nn.MaxPool2d(pool), norms[1], ActivationSign(),
        nn.Flatten(), BinaryLinear(features, 3, WeightSign()), nn.BatchNorm1d(3),
    ).eval()  # fmt: skip
    x = np.random.default_rng(seed).integers(0, 256, (5, 2, rows, columns)).astype(np.uint8)
    for scaling in ("symmetric", "binary"):
        packed = fold(net, (2, rows, columns), scaling)
        expected = logits_of(net, x, scaling)
        for name in ("fast", "reference"):
            np.testing.assert_array_equal(engine(packed, name).logits(x), expected)


def test_pooling_after_batch_norm_pools_signs(images):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5)
    nn.init.normal_(norm.weight)  # of both signs: the largest of the norms is that of the smallest sum
    net = nn.Sequential(
        BinaryConv2d(1, 5, 3, WeightSign(), 1), norm, nn.MaxPool2d(2), ActivationSign(),
        nn.Flatten(), BinaryLinear(45, 10, WeightSign()),
    ).eval()  # fmt: skip
    x = images((1, 6, 6))
    packed = fold(net, (1, 6, 6), "symmetric")
    for name in ("fast", "reference"):
        np.testing.assert_array_equal(engine(packed, name).logits(x), logits_of(net, x, "symmetric"))


def test_weights_of_one_size_an_output_are_packed_with_the_size_folded_in(images):
    class Scaled(nn.Module):
        def forward(self, weight):
            return weight.sign() * weight.abs().flatten(1).mean(1)[:, None]

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(),
        BinaryLinear(12, 9, Scaled()),
        nn.BatchNorm1d(9),
        ActivationSign(),
        BinaryLinear(9, 3, WeightSign()),
    ).eval()
    nn.init.uniform_(net[2].running_mean, -1, 1)
    x = images((1, 3, 4))
    packed = fold(net, (1, 3, 4), "symmetric")
    assert packed.operations[1].weight.dtype == np.uint8
    np.testing.assert_array_equal(engine(packed).logits(x), logits_of(net, x, "symmetric"))


def test_real_first_and_last_layers_stay_real(make, images):
    trained = make("ste", "tiny").net
    trained[0] = BinaryConv2d(3, 7, 3, Identity(), 1).eval()
    trained[8] = nn.Linear(28, 10).eval()
    packed = fold(trained, SHAPES["tiny"], "symmetric")
    assert packed.operations[0].weight.dtype == np.float32
    x = images(SHAPES["tiny"])
    expected = logits_of(trained, x, "symmetric")
    for name in ("fast", "reference"):
        np.testing.assert_allclose(engine(packed, name).logits(x), expected, rtol=1e-4, atol=1e-3)


def test_the_last_batch_norm_is_found_to_the_bit(make):
    for method in ("ste", "ste_shift"):
        trained = make(method, "mlp", seed=5).net
        packed = fold(trained, SHAPES["mlp"], "symmetric")
        norm = packed.operations[-1]
        assert isinstance(norm, Norm)
        sums = np.arange(-65, 66, dtype=np.float32)
        expected = trained[-1](torch.from_numpy(np.repeat(sums[:, None], 10, 1))).detach().numpy()
        centered = (sums[:, None] - norm.center).astype(np.float64)
        np.testing.assert_array_equal((centered * norm.scale + norm.shift).astype(np.float32), expected)


def test_a_module_that_stands_twice_in_a_net_is_packed_twice(images):
    torch.manual_seed(0)
    sign, drop = ActivationSign(), nn.Dropout()

    def layer(inputs, outputs):
        norm = nn.BatchNorm1d(outputs)
        nn.init.normal_(norm.running_mean, std=5)
        return BinaryLinear(inputs, outputs, WeightSign()), norm

    net = nn.Sequential(
        nn.Flatten(), *layer(35, 20), sign, drop, *layer(20, 20), sign, drop, *layer(20, 10)
    ).eval()  # fmt: skip
    packed = fold(net, (1, 5, 7), "symmetric")
    assert sum(isinstance(o, Threshold) for o in packed.operations) == 2
    x = images((1, 5, 7))
    np.testing.assert_array_equal(engine(packed).logits(x), logits_of(net, x, "symmetric"))
    assert explain(net, packed, scaled(x, "symmetric"), x) == []
    again = nn.BatchNorm1d(20)
    shared = nn.Sequential(nn.Flatten(), net[1], again, sign, net[5], again, sign, net[9]).eval()
    nn.init.normal_(again.running_mean, std=5)
    np.testing.assert_array_equal(
        engine(fold(shared, (1, 5, 7), "symmetric")).logits(x), logits_of(shared, x, "symmetric")
    )


@pytest.mark.parametrize("kind", [nn.Sequential, nn.Dropout, nn.Identity])
def test_a_module_with_a_forward_of_its_own_is_not_taken_for_its_kind(kind):
    class Own(kind):
        def forward(self, x):
            return x + super().forward(x)

    class Named(nn.Sequential):
        """A sequence that is only made in its own way, as all nets are."""

    first = BinaryLinear(8, 8, WeightSign()), nn.BatchNorm1d(8), ActivationSign()
    inner = [BinaryLinear(8, 8, WeightSign()), nn.BatchNorm1d(8), ActivationSign()]
    last = BinaryLinear(8, 2, WeightSign())
    fold(Named(nn.Flatten(), *first, Named(*inner), last).eval(), (1, 2, 4), "symmetric")
    own = Own(*inner) if kind is nn.Sequential else Own()
    with pytest.raises(PackError, match=r"4 \(Own\)"):
        fold(nn.Sequential(nn.Flatten(), *first, own, last).eval(), (1, 2, 4), "symmetric")


def test_what_cannot_be_packed_is_refused_with_the_layers_name(make):
    shape = SHAPES["tiny"]
    with pytest.raises(PackError, match=r"layer 0 \(BinaryConv2d\) has real weights, and so has every other"):
        fold(make("real", "tiny").net, shape, "symmetric")
    stochastic = make("binaryconnect", "tiny", settings={"weights": "stochastic"}).net
    with pytest.raises(PackError, match="has real weights"):
        fold(stochastic, shape, "symmetric")
    hidden = make("ste", "tiny").net
    hidden[5] = BinaryLinear(28, 28, Identity()).eval()
    with pytest.raises(PackError, match=r"layer 5 \(BinaryLinear\) has real weights: only the first and the last"):
        fold(hidden, shape, "symmetric")
    wavy = make("ste", "tiny").net
    wavy[3] = Activation(nn.SiLU()).eval()
    with pytest.raises(PackError, match="layer 3"):
        fold(wavy, shape, "symmetric")
    with pytest.raises(PackError, match="is not a sequence of layers"):
        fold(nn.TransformerEncoderLayer(4, 1), shape, "symmetric")
    with pytest.raises(PackError, match="layer 0"):
        fold(make("ste", "tiny").net, (1, 9, 8), "symmetric")


@pytest.mark.parametrize("net", ["mlp", "tiny"])
def test_layer_norm_is_no_threshold_of_a_sum(net, make):
    trained = make("ste", net, norm="layer").net
    with pytest.raises(PackError, match=r"layer [0-9] \(ChannelNorm\) mixes channels"):
        fold(trained, SHAPES[net], "symmetric")


@pytest.mark.parametrize("settings", [{"norm_running": "std"}, {"norm_affine": False}, {"output_norm": False}])
def test_other_settings_of_a_nets_batch_norm(settings, make, images):
    trained = make("ste", "tiny", outliers=False, **settings).net
    packed = fold(trained, SHAPES["tiny"], "symmetric")
    x = images(SHAPES["tiny"])
    np.testing.assert_array_equal(engine(packed).logits(x), logits_of(trained, x, "symmetric"))


def test_pooling_of_what_falls_with_its_sum_is_refused():
    class Falling(BinaryConv2d):
        def product(self, x, w):
            return nn.functional.conv2d(x, w)

        def forward(self, x):
            return -self.product(x, self.quantizer(self.weight))

    layers = [Falling(1, 3, 3, WeightSign()), nn.MaxPool2d(2), nn.BatchNorm2d(3), ActivationSign(), nn.Flatten()]
    net = nn.Sequential(*layers, BinaryLinear(12, 2, WeightSign())).eval()
    with pytest.raises(PackError, match=r"layer 0 \(Falling\) is pooled, but does not rise with its sum"):
        fold(net, (1, 6, 6), "symmetric")
    del net[1]
    net[4] = BinaryLinear(48, 2, WeightSign())
    packed = fold(net, (1, 6, 6), "symmetric")  # without pooling it is a threshold
    x = np.random.default_rng(0).integers(0, 256, (9, 1, 6, 6)).astype(np.uint8)
    np.testing.assert_array_equal(engine(packed).logits(x), logits_of(net, x, "symmetric"))


@pytest.mark.parametrize("bias", [0.0, 1e6])
def test_a_large_value_of_one_channel_hides_no_error_of_another(bias):
    class Bent(BinaryLinear):
        def product(self, x, w):
            return nn.functional.linear(x, w)

        def forward(self, x):
            return self.product(x, self.quantizer(self.weight)).clamp(-5, 5)

    net = nn.Sequential(nn.Flatten(), Bent(20, 3, WeightSign()), nn.BatchNorm1d(3)).eval()
    with torch.no_grad():
        net[2].bias[1] = bias
    with pytest.raises(PackError, match="layer 2: its output is not an affine function of the sum"):
        fold(net, (1, 4, 5), "binary")


def test_an_activation_that_turns_back_is_no_threshold():
    class Band(nn.Module):
        def forward(self, x):
            return torch.where(x.abs() <= 1, 1.0, -1.0)

    net = one_layer(nn.BatchNorm1d(2), torch.ones(2, 5))
    net[3] = Band()
    with pytest.raises(PackError, match="the sign of channel 0 is not a threshold"):
        fold(net, (1, 1, 5), "binary")


@pytest.mark.parametrize("function", [nn.ReLU6(), nn.Hardtanh(0, 6)])
def test_an_activation_that_is_relu_near_0_only_is_refused(function):
    last = BinaryLinear(9, 3, WeightSign())
    net = nn.Sequential(nn.Flatten(), BinaryLinear(64, 9, WeightSign()), function, last).eval()  # sums up to ±64
    with pytest.raises(PackError, match=r"layer 2 \((ReLU6|Hardtanh)\) is none of relu, tanh, hardtanh, sign"):
        fold(net, (1, 8, 8), "binary")


def test_folding_leaves_the_net_as_it_was(make):
    trained = make("bernoulli", "tiny").net
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    trained.train()
    fold(trained, SHAPES["tiny"], "symmetric")
    assert trained.training
    assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())


def test_float32_bytes_are_the_states(make):
    trained = make("ste", "mlp").net
    parameters = 35 * 65 + 65 * 65 + 65 * 10
    norms = 4 * (65 + 65 + 10) + 3  # γ, β, mean, variance; and a counter each
    assert fold(trained, SHAPES["mlp"], "symmetric").info["float32_bytes"] == 4 * (parameters + norms)


def test_a_norm_over_channels_is_refused():
    last = BinaryLinear(4, 2, WeightSign())
    net = nn.Sequential(nn.Flatten(), BinaryLinear(8, 4, WeightSign()), ChannelNorm(4), ActivationSign(), last)
    with pytest.raises(PackError, match=r"layer 2 \(ChannelNorm\) mixes channels"):
        fold(net, (1, 2, 4), "binary")


def test_a_shift_based_batch_norm_of_real_values_is_packed_to_the_bit():
    """It rounds x − mean before the product with a power of two, and its value at 0 alone does not tell that."""
    torch.manual_seed(0)
    norm = ShiftBatchNorm1d(64, eps=1e-4, statistic="variance").eval()
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.normal_()
        norm.running_var.uniform_(0.1, 2)
    with torch.no_grad():
        found = operation_of(Leaf("norm", norm), Values(REAL, (64,), 0))
    x = torch.randn(2000, 64) * 3
    np.testing.assert_array_equal(normalize(found, x.numpy()), norm(x).detach().numpy())
