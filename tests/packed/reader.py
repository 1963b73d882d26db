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
    assert metadata["format"] == "binarized.packed"
    assert metadata["version"] in ("1", "2")
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
    """Class and logits of one image of pixels."""
    net, tensors = read(path)
    results = {-1: read_input(net["input"], image, tensors)}
    for number, step in enumerate(net["operations"]):
        of = {name.partition(".")[2]: t for name, t in tensors.items() if name.partition(".")[0] == str(number)}
        taken = step.get("from", [number - 1])
        if step["op"] == "add":
            results[number] = each(lambda a, b: np.float32(a) + np.float32(b), *(results[source] for source in taken))
        else:
            results[number] = STEPS[step["op"]](results[taken[0]], step, of)
    x = results[len(net["operations"]) - 1]
    return max(range(len(x)), key=lambda i: (x[i], -i)), x


def read_input(step, image, tensors):
    def value(u, c):
        if step["kind"] == "bytes":
            return 2 * u - 255
        if step["kind"] == "signs":
            return 1 if u > 127 else -1
        return (np.float32(u) - tensors["input.shift"][c]) / tensors["input.scale"][c]

    return [[[value(int(u), c) for u in row] for row in channel] for c, channel in enumerate(image)]


def each(function, x, *others):
    """The function of every number of nested lists."""
    if isinstance(x, list):
        return [each(function, *items) for items in zip(x, *others, strict=True)]
    return function(x, *others)


def by_channel(function, x):
    """function(value, channel) of every number."""
    return [each(lambda value, c=c: function(value, c), channel) for c, channel in enumerate(x)]


def bit(packed: Any, i: int) -> int:
    return int(packed[i // 8]) >> (i % 8) & 1


def flatten(x, step, of):
    return [value for channel in x for row in channel for value in row]


def dot(x, weight):
    """The sum of x·w, of signs in bits exactly, of real weights or values in float64 and rounded once."""
    if weight.dtype == np.uint8:
        total = sum(v if bit(weight, k) else -v for k, v in enumerate(map(exact, x)))
    else:
        total = sum(float(w) * float(v) for v, w in zip(x, weight, strict=True))
    return total


def exact(value):
    return float(value) if isinstance(value, np.float32) else value


def rounded(total):
    return np.float32(total) if isinstance(total, float) else total


def dense(x, step, of):
    return [rounded(dot(x, row)) for row in of["weight"]]


def conv(x, step, of):
    p, s, (outputs, rows, columns, _) = step["padding"], step["stride"], of["weight"].shape
    height, width = len(x[0]), len(x[0][0])

    def at(o, i, j):
        total = 0
        for a in range(rows):
            for b in range(columns):
                row, column = i * s + a - p, j * s + b - p
                if 0 <= row < height and 0 <= column < width:
                    total += dot([x[c][row][column] for c in range(step["inputs"])], of["weight"][o, a, b])
        return rounded(total)

    places = range((height + 2 * p - rows) // s + 1), range((width + 2 * p - columns) // s + 1)
    return [[[at(o, i, j) for j in places[1]] for i in places[0]] for o in range(outputs)]


def windows(x, rows, columns, step_down, step_right, count, padding=0):
    """The values of each channel that lie inside of each window."""
    height, width = len(x[0]), len(x[0][0])

    def inside(channel, i, j):
        down = range(max(0, i * step_down - padding), min(height, i * step_down - padding + rows))
        right = range(max(0, j * step_right - padding), min(width, j * step_right - padding + columns))
        return [channel[a][b] for a in down for b in right]

    return [[[inside(c, i, j) for j in range(count[1])] for i in range(count[0])] for c in x]


def pool(x, step, of):
    n, p = step["size"], step.get("padding", 0)
    s = step.get("stride", 0) or n
    count = [(side + 2 * p - n) // s + 1 for side in (len(x[0]), len(x[0][0]))]
    return [[[max(window) for window in row] for row in c] for c in windows(x, n, n, s, s, count, p)]


def average(x, step, of):
    m, n = step["rows"], step["columns"]
    count = -(-len(x[0]) // m), -(-len(x[0][0]) // n)

    def mean(window):
        return np.float32(sum(map(float, window)) / len(window))

    return [[[mean(window) for window in row] for row in c] for c in windows(x, m, n, m, n, count)]


def pad(x, step, of):
    before, after, top, bottom, left, right = (
        step.get(key, 0) for key in ("before", "after", "top", "bottom", "left", "right")
    )
    zero = np.float32(0)
    width = left + len(x[0][0]) + right
    empty = [[[zero] * width] * (top + len(x[0]) + bottom)]
    rows = [[[zero] * left + row + [zero] * right for row in channel] for channel in x]
    return before * empty + [top * [[zero] * width] + c + bottom * [[zero] * width] for c in rows] + after * empty


def threshold(x, step, of):
    return by_channel(lambda v, c: 1 if (v >= of["threshold"][c]) != bit(of["inverted"], c) else -1, x)


def norm(x, step, of):
    def value(v, c):
        centered = np.float32(np.float32(v) - of["center"][c])
        return np.float32(np.float64(centered) * np.float64(of["scale"][c]) + np.float64(of["shift"][c]))

    return by_channel(value, x)


def prelu(x, step, of):
    return by_channel(lambda v, c: v if v >= 0 else of["slope"][c] * v, x)


def activation(x, step, of):
    return each(FUNCTIONS[step["function"]], x)


FUNCTIONS = {
    "relu": lambda v: max(v, np.float32(0)),
    "hardtanh": lambda v: min(max(v, np.float32(-1)), np.float32(1)),
    "tanh": np.tanh,
    "sign": lambda v: 1 if v >= 0 else -1,
}
STEPS = {f.__name__: f for f in (flatten, dense, conv, pool, threshold, norm, activation, prelu, average, pad)}
