"""A reader of packed nets that follows packed/FORMAT.md and uses nothing of the project: loops over single numbers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__")
    assert (metadata["format"], metadata["version"]) == ("binarized.packed", "1")
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        dtype = {"U8": "<u1", "I32": "<i4", "F32": "<f4"}[entry["dtype"]]
        tensors[name] = np.frombuffer(content[begin:end], dtype).reshape(entry["shape"])
    sha = hashlib.sha256(metadata["net"].encode())
    for name in sorted(tensors):
        sha.update(tensors[name].tobytes())
    assert sha.hexdigest() == metadata["sha256"]
    return json.loads(metadata["net"]), tensors


def predict(path: Path, image: np.ndarray) -> tuple[int, list[np.float32]]:
    """Class and logits of one image of pixels; of nets whose input is bytes or signs."""
    net, tensors = read(path)
    x = [[[int(u) for u in row] for row in channel] for channel in image]
    kind = net["input"]["kind"]
    x = [[[2 * u - 255 if kind == "bytes" else 1 if u > 127 else -1 for u in row] for row in channel] for channel in x]
    for number, step in enumerate(net["operations"]):
        of = {name.partition(".")[2]: t for name, t in tensors.items() if name.partition(".")[0] == str(number)}
        x = STEPS[step["op"]](x, step, of)
    return max(range(len(x)), key=lambda i: (x[i], -i)), x


def bit(packed: Any, i: int) -> int:
    return int(packed[i // 8]) >> (i % 8) & 1


def flatten(x, step, of):
    return [value for channel in x for row in channel for value in row]


def dense(x, step, of):
    return [sum(v if bit(row, k) else -v for k, v in enumerate(x)) for row in of["weight"]]


def conv(x, step, of):
    p, s, (outputs, rows, columns, _) = step["padding"], step["stride"], of["weight"].shape
    height, width = len(x[0]), len(x[0][0])

    def at(o, i, j):
        total = 0
        for a in range(rows):
            for b in range(columns):
                row, column = i * s + a - p, j * s + b - p
                if 0 <= row < height and 0 <= column < width:
                    taps = of["weight"][o, a, b]
                    total += sum(x[c][row][column] * (2 * bit(taps, c) - 1) for c in range(step["inputs"]))
        return total

    places = range((height + 2 * p - rows) // s + 1), range((width + 2 * p - columns) // s + 1)
    return [[[at(o, i, j) for j in places[1]] for i in places[0]] for o in range(outputs)]


def pool(x, step, of):
    n = step["size"]
    rows, columns = range(len(x[0]) // n), range(len(x[0][0]) // n)
    return [
        [[max(c[i * n + a][j * n + b] for a in range(n) for b in range(n)) for j in columns] for i in rows] for c in x
    ]


def threshold(x, step, of):
    def sign(value, c):
        return 1 if (value >= of["threshold"][c]) != bit(of["inverted"], c) else -1

    if isinstance(x[0], list):
        return [[[sign(v, c) for v in row] for row in channel] for c, channel in enumerate(x)]
    return [sign(v, c) for c, v in enumerate(x)]


def norm(x, step, of):
    result = []
    for c, value in enumerate(x):
        centered = np.float32(np.float32(value) - of["center"][c])
        result.append(np.float32(np.float64(centered) * np.float64(of["scale"][c]) + np.float64(of["shift"][c])))
    return result


STEPS = {"flatten": flatten, "dense": dense, "conv": conv, "pool": pool, "threshold": threshold, "norm": norm}
