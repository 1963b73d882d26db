"""A packed net as one C99 file: constants, loops, and `int predict(const uint8_t *image)`. No heap, no library."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .c_template import BYTE_SUM, FIRST_SIGNS, TEXT
from .net import PackedNet
from .operations import (
    REAL,
    SIGNS,
    SUMS,
    Conv,
    Dense,
    Flatten,
    Norm,
    Operation,
    PackError,
    Pool,
    Threshold,
    pack_signs,
)
from .values import Values


@dataclass
class _Layer:
    """A convolution with what follows it. A dense layer is one whose kernel covers its maps."""

    maps: tuple[int, ...]  # channels, height, width of its input
    signs: np.ndarray  # (outputs, rows, columns, channels)
    padding: int
    stride: int
    places: tuple[int, int]  # rows and columns of its sums
    pool: int = 1
    threshold: Threshold | None = None

    @property
    def outputs(self) -> int:
        return len(self.signs)

    @property
    def pooled(self) -> tuple[int, int]:
        return self.places[0] // self.pool, self.places[1] // self.pool


@dataclass(frozen=True)
class CSource:
    """The text of the file; `flash`, bytes of its constants; `ram`, bytes of its buffers (the stack comes on top)."""

    text: str
    flash: int
    ram: int


def to_c(net: PackedNet) -> CSource:
    """PackError where a part of the net computes with real numbers, other than the last batch norm."""
    layers, norm = _layers(net)
    image = layers[0].maps
    switches = [layer.threshold.threshold for layer in layers if layer.threshold]
    narrow = all(np.abs(t).max() < 2**15 for t in switches)
    constants: list[str] = []
    table: list[str] = []
    flash = 0
    for i, layer in enumerate(layers):
        weight = pack_signs(layer.signs)
        constants.append(_array(f"weight_{i}", "uint8_t", weight.reshape(-1)))
        flash += weight.size
        if layer.threshold:
            constants.append(_array(f"threshold_{i}", "threshold_t", layer.threshold.threshold))
            constants.append(_array(f"inverted_{i}", "uint8_t", layer.threshold.inverted))
            flash += len(layer.threshold.threshold) * (2 if narrow else 4) + layer.threshold.inverted.size
        channels, height, width = layer.maps
        rows, columns = layer.signs.shape[1:3]
        numbers = (height, width, channels, layer.outputs, rows, columns, layer.padding, layer.stride, layer.pool)
        names = [f"weight_{i}"] + ([f"threshold_{i}", f"inverted_{i}"] if layer.threshold else ["0", "0"])
        table.append(f"    {{{', '.join(map(str, (*numbers, *layer.pooled)))}, {', '.join(names)}}},")
    for name, values in (("center", norm.center), ("scale", norm.scale), ("shift", norm.shift)):
        constants.append(_array(name, "float", values))
        flash += 4 * len(values)
    binary = net.input.kind == SIGNS
    buffer = max([_bytes(layer.outputs, *layer.pooled) for layer in layers[:-1]] + [_bytes(*image) * binary, 1])
    text = TEXT.format(
        origin=_comment(net),
        shape="×".join(map(str, net.input_shape)),
        classes=net.classes,
        last=net.classes - 1,
        unused="(void)image;\n    " if binary else "",
        flash=flash,
        ram=2 * buffer,
        threshold="int16_t" if narrow else "int32_t",
        constants="\n".join(constants),
        table="\n".join(table),
        layers=len(layers),
        buffer=buffer,
        first=FIRST_SIGNS.format(*image) if binary else "",
        image="buffers[1]" if binary else "image",
        is_image="0" if binary else "i == 0",
        byte_sum="" if binary else BYTE_SUM,
        sum_call="sign_sum(layer, x, channel, row, column)"
        if binary
        else "image ? byte_sum(layer, x, channel, row, column) : sign_sum(layer, x, channel, row, column)",
    )
    return CSource(text, flash, 2 * buffer)


def _layers(net: PackedNet) -> tuple[list[_Layer], Norm]:
    layers: list[_Layer] = []
    maps: tuple[int, ...] = net.input_shape
    if not net.is_chain:
        raise PackError("C has no sums of branches: only nets whose layers follow one another can be written in C")
    if net.input.kind == REAL:
        raise PackError("the first layer takes real numbers: only nets on pixels or signs can be written in C")
    for operation, before, after in net.steps():
        last = layers[-1] if layers else None
        match operation:
            case Dense() | Conv() if after.kind == SUMS:
                layers.append(_layer(operation, before, after, maps))
            case Pool(size, 0, 0) if before.kind == SUMS and last:
                last.pool *= size
            case Threshold() if last:
                last.threshold = operation
                maps = after.shape if len(after.shape) == 3 else (*after.shape, 1, 1)
            case Flatten() if last and (before.kind == SIGNS or before.shape[1:] == (1, 1)):
                pass  # the dense layer that follows has its weights in the order of the maps
            case Flatten() if not last:
                maps = (*after.shape, 1, 1)
            case Norm() if operation is net.operations[-1]:
                return layers, operation
            case _:
                raise PackError(f"C has no {_refused(operation, before)}")
    classes = net.classes
    return layers, Norm(*(np.full(classes, value, np.float32) for value in (0, 1, 0)))


def _refused(operation: Operation, before: Values) -> str:
    """What C has not, and what it has in its place."""
    text = f"{operation.name} of {before.kind}"
    if isinstance(operation, Pool) and before.kind == SIGNS:
        return f"{text}: only of sums, before batch norm and sign"
    if isinstance(operation, Pool) and before.kind == SUMS:
        return f"{text} by windows that overlap or reach over the edge: only by windows side by side"
    if isinstance(operation, Flatten):
        return f"{text} at {before.shape[1]}×{before.shape[2]} places: only of signs"
    return f"{text}: only integers, and a batch norm at the end"


def _layer(operation: Dense | Conv, before: Values, after: Values, maps: tuple[int, ...]) -> _Layer:
    signs = operation.signs()
    if isinstance(operation, Conv):
        return _Layer(before.shape, signs, operation.padding, operation.stride, (after.shape[1], after.shape[2]))
    return _Layer(maps, signs.reshape(-1, *maps).transpose(0, 2, 3, 1), 0, 1, (1, 1))


def _bytes(channels: int, height: int, width: int) -> int:
    return -(-channels // 8) * height * width


def _array(name: str, kind: str, values: np.ndarray) -> str:
    texts = [f"{float(v).hex()}f" for v in values] if kind == "float" else [str(int(v)) for v in values]
    return f"static const {kind} {name}[{len(values)}] = {{\n{_wrapped(texts)}\n}};"


def _wrapped(texts: Iterable[str], width: int = 118) -> str:
    lines = [""]
    for text in texts:
        if len(lines[-1]) + len(text) + 1 > width:
            lines.append("")
        lines[-1] += text + ","
    return "\n".join(lines)


def _comment(net: PackedNet) -> str:
    """Where the net comes from, for the inside of a comment. What ends or begins one is parted last, since taking out
    other characters can make it."""
    text = ", ".join(f"{name} {value}" for name, value in net.info.items() if value is not None)
    text = text.replace("\\", "/").replace("?", "")
    return text.replace("*/", "* /").replace("/*", "/ *")
