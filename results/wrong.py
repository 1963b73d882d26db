"""Which test examples a run told wrong, a bit each, as text in its record."""

import base64
import zlib

import numpy as np


def encode(wrong: np.ndarray) -> str:
    """bool [n] → `n:` and the bits, zlib-compressed, in base64."""
    bits = zlib.compress(np.packbits(wrong).tobytes(), 9)
    return f"{len(wrong)}:{base64.b64encode(bits).decode()}"


def decode(text: str) -> np.ndarray:
    """What `encode` was given. ValueError where the text is none of its."""
    count, _, bits = text.partition(":")
    try:
        packed = np.frombuffer(zlib.decompress(base64.b64decode(bits, validate=True)), np.uint8)
    except zlib.error as error:
        raise ValueError(f"no list of wrong examples: {error}") from error
    if len(packed) != (int(count) + 7) // 8:
        raise ValueError(f"{count} examples are announced, and there are {8 * len(packed)} bits")
    return np.unpackbits(packed, count=int(count)).astype(bool)
