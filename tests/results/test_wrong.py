"""The wrong test examples of a record: what is encoded is decoded, and other text is refused."""

import base64
import zlib

import numpy as np
import pytest

from results.record import wrong_examples
from results.wrong import decode, encode
from tests.results.test_record import a_record


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 10_000])
def test_what_is_encoded_is_decoded(count):
    wrong = np.random.default_rng(count).random(count) < 0.1
    found = decode(encode(wrong))
    assert found.dtype == bool
    assert found.tolist() == wrong.tolist()


def test_the_text_is_a_count_and_compressed_bits_the_first_example_highest():
    text = encode(np.array([True, False, False, False, False, False, False, True, True]))
    count, bits = text.split(":")
    assert count == "9"
    assert zlib.decompress(base64.b64decode(bits)) == bytes([0b10000001, 0b10000000])


def test_three_percent_of_ten_thousand_examples_take_less_than_a_kilobyte():
    assert len(encode(np.random.default_rng(0).random(10_000) < 0.03)) < 1000


@pytest.mark.parametrize("text", ["9", "9:", "x:eJxrYAAAAQEBAA==", "9:!!!!", "17:" + encode(np.ones(9, bool))[2:]])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        decode(text)


def test_a_record_without_them_has_none():
    assert wrong_examples(a_record()) is None
    assert wrong_examples(a_record(test={"error": 50.0})) is None
    assert wrong_examples(a_record(test={"wrong": encode(np.array([True, False]))})).tolist() == [True, False]
