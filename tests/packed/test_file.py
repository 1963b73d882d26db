"""Files: written whole, read back the same, and refused in one line where anything is wrong with them."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as save_tensors

import packed
from packed import PackError
from packed.file import digest, from_bytes, to_bytes
from packed.fold import fold
from packed.operations import Pool
from packed.values import Values, after
from tests.packed.conftest import SHAPES


@pytest.fixture(scope="module")
def net(make):
    return fold(make("ste", "tiny").net, SHAPES["tiny"], "symmetric", info={"run_id": "tiny-1", "dataset": "digits"})


@pytest.fixture
def path(net, tmp_path):
    packed.save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def one_line(path):
    with pytest.raises(PackError) as caught:
        packed.load(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path)) or text.startswith(f"cannot read {path}")
    assert len(text) < 300 + len(str(path))
    return text


def read_again(content):
    """What would be written of the net in `content`; None where that is refused, in one line. Only the spaces after
    the header's JSON may change without a notice."""
    try:
        return to_bytes(from_bytes(content))
    except PackError as error:
        if "\n" in str(error):
            raise
    return None


def rewritten(path, change):
    """The file with its description and tensors changed, and a checksum that fits."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    description = json.loads(header["__metadata__"]["net"])
    from safetensors.numpy import load

    tensors = load(content)
    change(description, tensors)
    text = json.dumps(description)
    metadata = header["__metadata__"] | {"net": text, "sha256": digest(text, tensors)}
    path.write_bytes(save_tensors(tensors, metadata=metadata))
    return path


def test_a_net_is_read_back_as_it_was_written(net, path, images):
    again = packed.load(path)
    assert again.info == net.info
    assert (again.input_shape, again.classes) == (net.input_shape, net.classes)
    assert [type(o) for o in again.operations] == [type(o) for o in net.operations]
    assert to_bytes(again) == path.read_bytes() == to_bytes(net)
    x = images(SHAPES["tiny"])
    np.testing.assert_array_equal(packed.engine(again).logits(x), packed.engine(net).logits(x))


def test_nothing_is_left_of_a_file_that_cannot_be_written(net, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PackError, match="cannot write"):
        packed.save(net, tmp_path / "file" / "net.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PackError, match="cannot write"):
        packed.save(net, tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    assert "No such file" in one_line(tmp_path / "none")
    assert "directory" in one_line(tmp_path)


def test_every_truncation_is_found(path):
    content = path.read_bytes()
    for length in [*range(0, 40), *range(40, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:length])
        one_line(path)
    path.write_bytes(content + b"\0")
    one_line(path)


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_never_goes_unseen(net, place, bit):
    content = bytearray(to_bytes(net))
    at = int(place * len(content))
    content[at] ^= 1 << bit
    assert read_again(bytes(content)) in (None, to_bytes(net))


def test_every_byte_of_the_header_is_looked_at(net):
    content = to_bytes(net)
    for at in range(0, 8 + int.from_bytes(content[:8], "little"), 3):
        changed = bytearray(content)
        changed[at] ^= 1
        assert read_again(bytes(changed)) in (None, content)


def test_another_version_or_format_is_told(net, path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"version":"1"', b'"version":"3"'))
    assert "version 3 of the format, this program reads 1 and 2" in one_line(path)
    path.write_bytes(save_tensors({"weight": np.zeros((2, 2), np.float32)}))
    assert "not a packed net" in one_line(path)
    path.write_bytes(b"PK\3\4" + bytes(4000))
    assert "not a safetensors file" in one_line(path)


def test_a_header_that_claims_much_takes_no_memory(path):
    huge = 2**62
    for length in (2**63, 2**40, 2**20 + 1):
        path.write_bytes(length.to_bytes(8, "little") + b"{}")
        assert "truncated" in one_line(path)
    metadata = {"format": "binarized.packed", "version": "1", "net": "{}", "sha256": ""}
    for entry in (
        {"dtype": "U8", "shape": [huge], "data_offsets": [0, huge]},
        {"dtype": "F32", "shape": [huge, huge], "data_offsets": [0, 4]},
        {"dtype": "U8", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "U8", "shape": [4], "data_offsets": [4, 0]},
        {"dtype": "U8", "shape": [4], "data_offsets": "no"},
        {"dtype": "U8", "shape": [4], "data_offsets": [0, 1e300]},
        {"dtype": "X9", "shape": [4], "data_offsets": [0, 4]},
        [],
        None,
    ):
        header = json.dumps({"__metadata__": metadata, "0.weight": entry}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
        one_line(path)
    deep = b"[" * 200_000
    path.write_bytes(len(deep).to_bytes(8, "little") + deep)
    one_line(path)


def test_a_description_that_claims_much_takes_no_memory(path):
    def with_sides(side):
        def change(description, tensors):
            description["input_shape"] = [3, side, side]

        return change

    original = path.read_bytes()
    for side in (2**20, 2**31 - 1, 2**31, 10**30, -1, 9.5, "9", None, True):
        path.write_bytes(original)
        one_line(rewritten(path, with_sides(side)))


def with_input(**values):
    """A net whose first layer takes real values, and what its input then has."""

    def change(d, t):
        d["input"]["kind"] = "real"
        t.update({f"input.{name}": np.full(3, value, np.float32) for name, value in values.items()})

    return change


CHANGES = {
    "an unknown operation": (lambda d, t: d["operations"][1].update(op="exec"), "operation 1 is a 'exec', which"),
    "no operations": (lambda d, t: d.update(operations=[]), "tensor 0.weight belongs to no operation"),
    "operations are no list": (lambda d, t: d.update(operations=7), "'int' object is not iterable"),
    "a missing tensor": (lambda d, t: t.pop("0.weight"), "tensor 0.weight is missing"),
    "a tensor too many": (lambda d, t: t.update({"0.more": np.zeros(3, np.float32)}), "0.more belongs to no operation"),
    "a tensor of another type": (
        lambda d, t: t.update({"0.weight": t["0.weight"].astype(np.int64)}),
        "tensor 0.weight is int64",
    ),
    "a tensor of another shape": (
        lambda d, t: t.update({"6.weight": t["6.weight"][:, :3].copy()}),
        "operation 6 (dense): weight (10, 3) for 28 inputs",
    ),
    "an empty tensor": (lambda d, t: t.update({"0.weight": t["0.weight"][:0]}), "no inputs or outputs"),
    "more inputs": (lambda d, t: d["operations"][0].update(inputs=4), "4 maps in (3, 9, 8)"),
    "stride 0": (lambda d, t: d["operations"][0].update(stride=0), "padding 1, stride 0"),
    "padding of the kernel's size": (lambda d, t: d["operations"][0].update(padding=3), "padding 3, stride 1"),
    "pool 0": (lambda d, t: d["operations"][1].update(size=0), "operation 1 (pool): size 0"),
    "pool larger than the maps": (lambda d, t: d["operations"][1].update(size=100), "operation 1 (pool): size 100"),
    "too few thresholds": (
        lambda d, t: t.update({"2.threshold": t["2.threshold"][:3]}),
        "3 thresholds for sums 7×2×2",
    ),
    "a threshold past all sums": (
        lambda d, t: t["2.threshold"].__setitem__(0, 2**31 - 1),
        "a threshold past ±(terms + 1)",
    ),
    "bits after the last of inverted": (lambda d, t: t["2.inverted"].__ior__(128), "bits of `inverted` after the last"),
    "bits after the last of a weight": (lambda d, t: t["0.weight"][0, 0].__ior__(8), "bits of `weight` after the last"),
    "other classes": (lambda d, t: d.update(classes=11), "gives real 10, not 11 logits"),
    "a norm of NaN": (lambda d, t: t["7.scale"].__setitem__(0, np.nan), "operation 7 (norm): a value that is not fin"),
    "a weight of NaN": (
        lambda d, t: t.update({"6.weight": np.full((10, 28), np.nan, np.float32)}),
        "operation 6 (dense): a weight that is not finite",
    ),
    "an unknown input": (lambda d, t: d["input"].update(kind="pickle"), "unknown kind of input 'pickle'"),
    "an input of scale 0": (with_input(shift=1, scale=0), "a scale of the input that is 0"),
    "an input of scale NaN": (with_input(shift=1, scale=np.nan), "a value of the input that is not finite"),
    "an input of shift NaN": (with_input(shift=np.nan, scale=1), "a value of the input that is not finite"),
    "an input without a scale": (with_input(shift=1), "the input has one of shift and scale"),
    "no input": (lambda d, t: d.pop("input"), "KeyError 'input'"),
    "a missing setting": (lambda d, t: d["operations"][0].pop("padding"), "KeyError 'padding'"),
    "info is no object": (lambda d, t: d.update(info=[1]), "'list' object has no attribute 'items'"),
    "info of no plain value": (lambda d, t: d["info"].update(net=["mlp"]), "info: 'net' is ['mlp'], no printable text"),
    "half of a character": (lambda d, t: d["info"].update(net="\ud800"), "info: 'net' is '\\ud800', no printable text"),
    "an order to the terminal": (lambda d, t: d["info"].update({"\33[2J": 1}), "info: '\\x1b[2J' is 1, no printable"),
    "bytes of 400 digits": (lambda d, t: d["info"].update(float32_bytes=10**400), "float32_bytes is 1000000"),
    "no bytes": (lambda d, t: d["info"].update(float32_bytes=0), "float32_bytes is 0, no number of bytes"),
    "bytes as text": (lambda d, t: d["info"].update(float32_bytes="9"), "float32_bytes is '9', no number of bytes"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_is_refused(change, path):
    how, words = CHANGES[change]
    text = one_line(rewritten(path, how))
    assert text.startswith(f"{path}: not a packed net: ")
    assert words in text


def test_a_pool_pads_no_more_than_a_net_can_hold():
    """The file has two numbers more for it, the engines the padded maps."""
    sides = 8 + 2 * 20_000
    assert after(Pool(3, 2, 1), Values("sums", (64, 1, 1), 9)).shape == (64, 1, 1)
    with pytest.raises(PackError, match=f"pads to {sides}×{sides} places"):
        after(Pool(40_000, 1, 20_000), Values("sums", (1, 8, 8), 9))


def test_a_file_may_be_read_by_all(net, path):
    assert os.stat(path).st_mode & 0o777 == 0o644
