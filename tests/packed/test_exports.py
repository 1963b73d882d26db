"""C and QONNX: compiled by a C compiler and run by qonnx's executor, they predict what the packed net predicts."""

import ctypes
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import packed
from packed import PackError, bench
from packed.bench import torch_twin
from packed.c_export import to_c
from packed.fold import fold
from packed.net import PackedNet
from packed.operations import Conv, Dense, Flatten, Input, Norm, Pool, Threshold
from tests.packed.conftest import SHAPES, scaled

TWINS = [
    ("ste", "mlp", "symmetric"),
    ("bernoulli", "tiny", "symmetric"),
    ("bernoulli", "bernoulli_cnn", "binary"),
    ("binaryconnect", "tiny", "symmetric"),
]
CASES = [
    ("ste", "mlp", "symmetric"),
    ("ste", "mlp", "binary"),
    ("bernoulli", "tiny", "symmetric"),
    ("ste_shift", "tiny", "binary"),
    ("pbnet", "vgg", "symmetric"),
    ("bernoulli", "bernoulli_cnn", "binary"),
]


def digits(shape, count=60):
    """Scanned digits, repeated to the net's size and channels."""
    small = np.floor(load_digits().images[:count] * 255 / 16 + 0.5).astype(np.uint8)
    rows, columns = (-(-side // 8) for side in shape[1:])
    large = np.tile(small, (1, rows, columns))[:, : shape[1], : shape[2]]
    return np.repeat(large[:, None], shape[0], axis=1)


@pytest.fixture
def compiled(tmp_path):
    """The `predict` of C code, compiled without a warning."""
    if not shutil.which("cc"):
        pytest.skip("no C compiler (cc) here")

    def compiled(text):
        source, library = tmp_path / "net.c", tmp_path / "net.so"
        source.write_text(text)
        strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
        done = subprocess.run(
            ["cc", *strict, "-O2", "-shared", "-fPIC", "-o", library, source], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        predict = ctypes.CDLL(str(library)).predict
        return lambda images: [predict(np.ascontiguousarray(i).ctypes.data_as(ctypes.c_void_p)) for i in images]

    return compiled


@pytest.mark.parametrize(("method", "net", "scaling"), CASES)
def test_c_predicts_what_the_trained_net_predicts(method, net, scaling, make, compiled):
    trained = make(method, net, seed=2, outliers=False).net
    code = to_c(fold(trained, SHAPES[net], scaling))
    assert "malloc" not in code.text
    assert [line for line in code.text.splitlines() if line.startswith("#include")] == ["#include <stdint.h>"]
    x = digits(SHAPES[net])
    with torch.no_grad():
        expected = trained(scaled(x, scaling)).argmax(1).tolist()
    assert len(set(expected)) > 1
    assert compiled(code.text)(x) == expected


def test_c_with_large_thresholds_and_a_tie_of_logits(compiled):
    """Sums of 160,000 bytes need 32-bit thresholds; of equal logits the first is the class."""
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 256, (9, 200), dtype=np.uint8)
    thresholds = generator.integers(-60_000, 60_000, 9).astype(np.int32)
    one = np.ones(3, np.float32)
    last = np.array([[255, 1], [255, 1], [0, 0]], np.uint8)
    net = PackedNet(
        (1, 40, 40),
        3,
        Input("bytes"),
        (
            Flatten(),
            Dense(1600, bits),
            Threshold(thresholds, np.array([0b10101010, 1], np.uint8)),
            Dense(9, last),
            Norm(0 * one, one, 0 * one),
        ),
    )
    x = generator.integers(0, 256, (30, 1, 40, 40)).astype(np.uint8)
    expected = packed.engine(net, "reference").predict(x)
    assert 1 not in expected
    assert {0, 2} <= set(expected.tolist())
    assert "int32_t threshold_t" in to_c(net).text
    assert compiled(to_c(net).text)(x) == expected.tolist()
    np.testing.assert_array_equal(packed.engine(net, "fast").predict(x), expected)


@pytest.mark.parametrize("name", ["*\\ int evil; /*", "*?/ int evil; /?*", "*/*/ int evil; /*/", "??/ evil //", "*?"])
def test_what_a_file_says_of_itself_stays_a_comment(name, compiled, make):
    net = fold(make("ste", "mlp", width=8, depth=1).net, SHAPES["mlp"], "symmetric", info={"run_id": name})
    text = to_c(net).text
    comment, _, code = text.partition("*/\n#include")
    assert comment.count("/*") == 1
    assert "*/" not in comment
    assert "evil" not in code
    compiled(text)


def test_c_tells_its_bytes(make):
    net = fold(make("ste", "mlp", width=16, depth=1).net, SHAPES["mlp"], "symmetric")
    code = to_c(net)
    weights, thresholds, norm = 16 * 5 + 10 * 2, 16 * 2 + 2, 3 * 10 * 4
    assert code.flash == weights + thresholds + norm
    assert code.ram == 2 * 2  # two buffers of 16 bits


def test_c_is_refused_where_numbers_are_real(make):
    with pytest.raises(PackError, match="only nets on pixels or signs"):
        to_c(fold(make("ste", "tiny").net, SHAPES["tiny"], "zca"))
    with pytest.raises(PackError, match="C has no norm of sums"):
        to_c(fold(make("binaryconnect", "tiny").net, SHAPES["tiny"], "symmetric"))


def sums_of_conv(places, classes, *rest):
    """Two binary maps of places × places sums of one pixel each, and what follows."""
    conv = Conv(1, 0, 1, np.ones((2, 1, 1, 1), np.uint8))
    return PackedNet((1, places, places), classes, Input("bytes"), (conv, *rest))


def test_c_flattens_sums_of_one_place_only(compiled):
    """Of several places it has one threshold a map, and one sum."""
    eight = Norm(*np.zeros((3, 8), np.float32))
    steps = Threshold(np.zeros(8, np.int32), np.zeros(1, np.uint8)), Dense(8, np.zeros((8, 1), np.uint8))
    for net in (sums_of_conv(2, 8, Flatten(), eight), sums_of_conv(2, 8, Flatten(), *steps)):
        with pytest.raises(PackError, match="C has no flatten of sums at 2×2 places: only of signs"):
            to_c(net)
    slopes = Norm(*np.array([[0, 0], [1, -1], [0, 0]], np.float32))
    one = sums_of_conv(1, 2, Flatten(), slopes)
    assert compiled(to_c(one).text)(np.array([[0], [200]], np.uint8)) == [1, 0]


def test_c_says_which_pooling_it_has():
    flat = Flatten(), Dense(2, np.zeros((2, 1), np.uint8))
    sign = Threshold(np.zeros(2, np.int32), np.zeros(1, np.uint8))
    for steps, text in (
        ((sign, Pool(2), *flat), "C has no pool of signs: only of sums, before batch norm and sign"),
        ((Pool(2, 1), sign, *flat), "C has no pool of sums by windows that overlap or reach over the edge"),
    ):
        with pytest.raises(PackError, match=text):
            to_c(sums_of_conv(2, 2, *steps))


@pytest.mark.parametrize(("method", "net", "scaling"), [*CASES, ("binaryconnect", "tiny", "standardize")])
def test_qonnx_predicts_what_the_packed_net_predicts(method, net, scaling, make):
    pytest.importorskip("onnx", reason="the dependency group onnx is not installed")
    wrapper = pytest.importorskip("qonnx.core.modelwrapper", reason="the dependency group onnx is not installed")
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes

    from packed.qonnx_export import to_onnx

    ends = {"shift": np.full(3, 100, np.float32), "scale": np.full(3, 60, np.float32)}
    given = ends if scaling == "standardize" else {}
    folded = fold(make(method, net, seed=2, outliers=False).net, SHAPES[net], scaling, **given)
    x = digits(SHAPES[net], 20)
    model = wrapper.ModelWrapper(to_onnx(folded, len(x))).transform(InferShapes()).transform(InferDataTypes())
    found = execute_onnx(model, {"image": x.astype(np.float32)})["logits"]
    expected = packed.engine(folded).logits(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert found.argmax(1).tolist() == expected.argmax(1).tolist()
    kinds = [node.op_type for node in model.graph.node]
    weights = sum(hasattr(o, "weight") and o.weight.dtype == np.uint8 for o in folded.operations)
    assert kinds.count("BipolarQuant") >= weights
    assert (
        str(model.get_tensor_datatype("image")) == "DataType[UINT8]"
        or model.get_tensor_datatype("image").name == "UINT8"
    )


@pytest.mark.parametrize(("method", "net", "scaling"), TWINS)
def test_the_twins_of_the_benchmark_compute_the_same_net(method, net, scaling, make):
    folded = fold(make(method, net, seed=4, outliers=False).net, SHAPES[net], scaling)
    x = digits(SHAPES[net], 20)
    expected = packed.engine(folded).logits(x)
    with torch.no_grad():
        found = torch_twin(folded)(scaled(x, scaling)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    pytest.importorskip("onnx", reason="the dependency group onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the dependency group onnx is not installed")
    from packed.qonnx_export import to_onnx

    session = runtime.InferenceSession(to_onnx(folded, None, quantized=False).SerializeToString())
    (found,) = session.run(None, {"image": x.astype(np.float32)})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_net_that_onnx_refuses_is_timed_without_it(make, monkeypatch, capsys):
    class Export:
        @staticmethod
        def to_onnx(*_, **__):
            raise PackError("ONNX has no such net")

    monkeypatch.setattr(bench, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(SessionOptions=SimpleNamespace))
    monkeypatch.setitem(sys.modules, "packed.qonnx_export", Export)
    net = fold(make("ste", "mlp").net, SHAPES["mlp"], "symmetric")
    assert list(bench.contenders(net, digits(SHAPES["mlp"], 2))) == ["packed (fast)", "torch float32"]
    assert capsys.readouterr().err == "  without ONNX Runtime: ONNX has no such net\n"


def test_qonnx_refuses_sums_that_float32_does_not_hold():
    pytest.importorskip("onnx", reason="the dependency group onnx is not installed")
    from packed.qonnx_export import to_onnx

    weight = np.zeros((2, 5000), np.uint8)
    net = PackedNet((1, 200, 200), 2, Input("bytes"), (Flatten(), Dense(40_000, weight)))
    with pytest.raises(PackError, match="float32 does not hold sums"):
        to_onnx(net)
    black = np.zeros((1, 1, 200, 200), np.uint8)
    for name in ("fast", "reference"):
        assert packed.engine(replace(net), name).logits(black).tolist() == [[255 * 40_000.0] * 2]
