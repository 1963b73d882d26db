"""A packed net as one C99 file: constants, loops, and `int predict(const uint8_t *image)`. No heap, no library."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .net import PackedNet
from .operations import (
    REAL,
    SIGNS,
    SUMS,
    Conv,
    Dense,
    Flatten,
    Norm,
    PackError,
    Pool,
    Threshold,
    Values,
    pack_signs,
)


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
    text = _TEXT.format(
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
        first=_FIRST_SIGNS.format(*image) if binary else "",
        image="buffers[1]" if binary else "image",
        is_image="0" if binary else "i == 0",
        byte_sum="" if binary else _BYTE_SUM,
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
            case Flatten() if last:
                pass  # the dense layer that follows has its weights in the order of the maps
            case Flatten():
                maps = (*after.shape, 1, 1)
            case Norm() if operation is net.operations[-1]:
                return layers, operation
            case _:
                raise PackError(
                    f"C has no {operation.name} of {before.kind}: only integers, and a batch norm at the end"
                )
    classes = net.classes
    return layers, Norm(*(np.full(classes, value, np.float32) for value in (0, 1, 0)))


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
    text = ", ".join(f"{name} {value}" for name, value in net.info.items() if value is not None)
    return text.replace("*/", "* /").replace("\n", " ").replace("\\", "/").replace("?", "")


_FIRST_SIGNS = """    {{
        int32_t channel, place;
        for (place = 0; place < {1} * {2} * (({0} + 7) / 8); place++) buffers[1][place] = 0;
        for (channel = 0; channel < {0}; channel++)
            for (place = 0; place < {1} * {2}; place++)
                if (image[channel * {1} * {2} + place] > 127)
                    buffers[1][place * (({0} + 7) / 8) + channel / 8] |= (uint8_t)(1 << channel % 8);
    }}
"""

_BYTE_SUM = """
/* the sum of (2u - 255) * w over the pixels u under the kernel; the image is channel by channel */
static int32_t byte_sum(const struct layer *layer, const uint8_t *x, int32_t output, int32_t row, int32_t column)
{{
    const int32_t bytes = (layer->channels + 7) / 8;
    const uint8_t *w = layer->weight + output * layer->rows * layer->columns * bytes;
    int32_t sum = 0, a, b, c;
    for (a = 0; a < layer->rows; a++)
        for (b = 0; b < layer->columns; b++, w += bytes) {{
            const int32_t i = row * layer->stride + a - layer->padding;
            const int32_t j = column * layer->stride + b - layer->padding;
            if (i < 0 || i >= layer->height || j < 0 || j >= layer->width) continue;
            for (c = 0; c < layer->channels; c++) {{
                const int32_t value = 2 * (int32_t)x[(c * layer->height + i) * layer->width + j] - 255;
                sum += (w[c / 8] >> c % 8 & 1) ? value : -value;
            }}
        }}
    return sum;
}}
""".replace("{{", "{").replace("}}", "}")

_TEXT = """/* A net with weights of one bit: {origin}.

   int predict(const uint8_t *image): the class, 0..{last}, of an image of {shape} pixels 0..255, channel by channel,
   each row by row. Constants take {flash} bytes, buffers {ram}. Not reentrant: the buffers are static. */
#include <stdint.h>

typedef {threshold} threshold_t;

/* maps are rows of places, a place has one bit a channel, 1 for +1, from the lowest bit of its first byte on */
struct layer {{
    int32_t height, width, channels; /* of its input */
    int32_t outputs, rows, columns, padding, stride, pool;
    int32_t pooled_rows, pooled_columns;
    const uint8_t *weight; /* as a place of maps, for each output and place of the kernel */
    const threshold_t *threshold;
    const uint8_t *inverted;
}};

{constants}

static const struct layer layers[{layers}] = {{
{table}
}};

static uint8_t buffers[2][{buffer}];

static int32_t ones(uint8_t x)
{{
    static const uint8_t of[16] = {{0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4}};
    return (int32_t)of[x & 15] + of[x >> 4];
}}

/* the sum of x * w over the signs under the kernel; places outside of the maps count nothing */
static int32_t sign_sum(const struct layer *layer, const uint8_t *x, int32_t output, int32_t row, int32_t column)
{{
    const int32_t bytes = (layer->channels + 7) / 8;
    const uint8_t *w = layer->weight + output * layer->rows * layer->columns * bytes;
    int32_t terms = 0, differ = 0, a, b, c;
    for (a = 0; a < layer->rows; a++)
        for (b = 0; b < layer->columns; b++, w += bytes) {{
            const int32_t i = row * layer->stride + a - layer->padding;
            const int32_t j = column * layer->stride + b - layer->padding;
            const uint8_t *place = x + (i * layer->width + j) * bytes;
            if (i < 0 || i >= layer->height || j < 0 || j >= layer->width) continue;
            for (c = 0; c < bytes; c++) differ += ones((uint8_t)(place[c] ^ w[c]));
            terms += layer->channels;
        }}
    return terms - 2 * differ;
}}
{byte_sum}
static int32_t layer_sum(const struct layer *layer, const uint8_t *x, int image, int32_t channel, int32_t row,
                         int32_t column)
{{
    {unused}return {sum_call};
}}

/* the largest sum of a window, for layers that pool */
static int32_t largest_sum(const struct layer *layer, const uint8_t *x, int image, int32_t channel, int32_t row,
                           int32_t column)
{{
    int32_t largest = INT32_MIN, a, b;
    for (a = 0; a < layer->pool; a++)
        for (b = 0; b < layer->pool; b++) {{
            const int32_t sum = layer_sum(layer, x, image, channel, row * layer->pool + a, column * layer->pool + b);
            if (sum > largest) largest = sum;
        }}
    return largest;
}}

int predict(const uint8_t *image)
{{
    const uint8_t *x = {image};
    int32_t i, row, column, channel;
    int best = 0;
    float highest = 0;
{first}    for (i = 0; i < {layers} - 1; i++) {{
        const struct layer *layer = &layers[i];
        const int32_t bytes = (layer->outputs + 7) / 8;
        uint8_t *y = buffers[i % 2];
        for (row = 0; row < layer->pooled_rows; row++)
            for (column = 0; column < layer->pooled_columns; column++, y += bytes) {{
                for (channel = 0; channel < bytes; channel++) y[channel] = layer->inverted[channel];
                for (channel = 0; channel < layer->outputs; channel++)
                    if (largest_sum(layer, x, {is_image}, channel, row, column) >= layer->threshold[channel])
                        y[channel / 8] ^= (uint8_t)(1 << channel % 8);
            }}
        x = buffers[i % 2];
    }}
    for (channel = 0; channel < {classes}; channel++) {{
        const float sum = (float)largest_sum(&layers[i], x, {is_image}, channel, 0, 0) - center[channel];
        const float logit = (float)((double)sum * scale[channel] + shift[channel]);
        if (channel == 0 || logit > highest) {{
            highest = logit;
            best = (int)channel;
        }}
    }}
    return best;
}}
"""
