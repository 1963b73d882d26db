"""Engines: what they take, threads and batches, and which one runs where numba is missing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import packed
from packed import PackError, engines
from packed.fold import fold
from packed.operations import pack_signs, unpack_signs
from tests.packed.conftest import SHAPES

ROOT = Path(packed.__file__).parents[1]


@pytest.fixture(scope="module")
def net(make):
    return fold(make("ste", "tiny").net, SHAPES["tiny"], "symmetric")


def test_the_engines_need_neither_torch_nor_the_project():
    code = (
        "import sys, packed, packed.fast, packed.c_export, packed.reference, packed.file\n"
        "project = {'methods', 'datamodules', 'configs', 'results', 'training', 'analysis', 'sweeps', 'torch'}\n"
        "print(sorted(project & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("name", ["fast", "reference"])
def test_batches_and_threads_change_nothing(name, net, images, monkeypatch):
    x = images(SHAPES["tiny"], 23)
    expected = packed.engine(net, name).logits(x)
    assert expected.dtype == np.float32
    monkeypatch.setattr(engines, "BATCH", 4)
    for threads in (1, 3):
        np.testing.assert_array_equal(packed.engine(net, name, threads).logits(x), expected)
    np.testing.assert_array_equal(packed.engine(net, name).logits(x[:1]), expected[:1])
    np.testing.assert_array_equal(packed.engine(net, name).predict(x), expected.argmax(1))
    assert packed.engine(net, name).logits(x[:0]).shape == (0, 10)


def test_images_that_do_not_fit_are_refused(net, images):
    x = images(SHAPES["tiny"], 2)
    for wrong in (x.astype(np.float32), x[:, :2], x[0], x.transpose(0, 2, 3, 1)):
        with pytest.raises(PackError, match=r"the net takes pixels, uint8 \(N, 3, 9, 8\), not"):
            packed.engine(net).logits(wrong)


def test_without_numba_the_reference_runs_and_says_so(net, images, monkeypatch, capsys):
    monkeypatch.setattr(engines, "has_numba", lambda: False)
    engines._say_once.cache_clear()
    x = images(SHAPES["tiny"], 3)
    for _ in range(2):
        assert packed.engine(net).name == "reference"
    assert capsys.readouterr().err == "packed: numba is not installed, the slow reference engine runs\n"
    np.testing.assert_array_equal(packed.engine(net).logits(x), packed.engine(net, "reference").logits(x))
    with pytest.raises(PackError, match="needs numba"):
        packed.engine(net, "fast")
    with pytest.raises(PackError, match="unknown engine 'slow'"):
        packed.engine(net, "slow")


def test_signs_are_packed_lowest_bit_first():
    signs = np.array([[1, -1, -1, 1, 1, -1, 1, 1, -1, 1]], np.float32)
    assert pack_signs(signs).tolist() == [[0b11011001, 0b10]]
    np.testing.assert_array_equal(unpack_signs(pack_signs(signs), 10), signs)


def test_popcount_and_bit_planes_count_bits():
    kernels = pytest.importorskip("packed.kernels")
    generator = np.random.default_rng(0)
    x = generator.integers(0, 2**64, (5, 9), dtype=np.uint64)
    weight = generator.integers(0, 2**64, (9, 4), dtype=np.uint64)
    start = generator.integers(-9, 9, (2, 4)).astype(np.int32)
    out = np.empty((5, 4), np.int32)
    kernels.sign_sums(x, weight, start, out)
    for p in range(5):
        for o in range(4):
            ones = sum((int(a) ^ int(b)).bit_count() for a, b in zip(x[p], weight[:, o], strict=True))
            assert out[p, o] == start[p % 2, o] - 2 * ones
    planes = np.empty((8, 2), np.uint64)
    total = kernels.bit_planes(x[0], planes)
    values = x[0].view(np.uint8)
    assert total == values.sum(dtype=int)
    for n in range(8):
        expected = [int(value) >> n & 1 for value in values] + [0] * 56
        assert [int(planes[n, k]) >> j & 1 for k in range(2) for j in range(64)] == expected
