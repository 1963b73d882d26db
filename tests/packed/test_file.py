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


CHANGES = {
    "an unknown operation": lambda d, t: d["operations"][1].update(op="exec"),
    "no operations": lambda d, t: d.update(operations=[]),
    "operations are no list": lambda d, t: d.update(operations=7),
    "a missing tensor": lambda d, t: t.pop("0.weight"),
    "a tensor too many": lambda d, t: t.update({"0.more": np.zeros(3, np.float32)}),
    "a tensor of another type": lambda d, t: t.update({"0.weight": t["0.weight"].astype(np.int64)}),
    "a tensor of another shape": lambda d, t: t.update({"0.weight": t["0.weight"][:, :2]}),
    "an empty tensor": lambda d, t: t.update({"0.weight": t["0.weight"][:0]}),
    "more inputs": lambda d, t: d["operations"][0].update(inputs=4),
    "stride 0": lambda d, t: d["operations"][0].update(stride=0),
    "padding of the kernel's size": lambda d, t: d["operations"][0].update(padding=3),
    "pool 0": lambda d, t: d["operations"][1].update(size=0),
    "pool larger than the maps": lambda d, t: d["operations"][1].update(size=100),
    "too few thresholds": lambda d, t: t.update({"2.threshold": t["2.threshold"][:3]}),
    "a threshold past all sums": lambda d, t: t["2.threshold"].__setitem__(0, 2**31 - 1),
    "bits after the last of inverted": lambda d, t: t["2.inverted"].__ior__(128),
    "bits after the last of a weight": lambda d, t: t["0.weight"][0, 0].__ior__(8),
    "other classes": lambda d, t: d.update(classes=11),
    "a norm of NaN": lambda d, t: t["7.scale"].__setitem__(0, np.nan),
    "an unknown input": lambda d, t: d["input"].update(kind="pickle"),
    "no input": lambda d, t: d.pop("input"),
    "a missing setting": lambda d, t: d["operations"][0].pop("padding"),
    "info is no object": lambda d, t: d.update(info=[1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_is_refused(change, path):
    text = one_line(rewritten(path, CHANGES[change]))
    assert "Error" not in text or "not a packed net" in text


def test_a_file_may_be_read_by_all(net, path):
    assert os.stat(path).st_mode & 0o777 == 0o644
