"""The C text of a packed net, with a place in braces for what `c_export` fills in."""

FIRST_SIGNS = """    {{
        int32_t channel, place;
        for (place = 0; place < {1} * {2} * (({0} + 7) / 8); place++) buffers[1][place] = 0;
        for (channel = 0; channel < {0}; channel++)
            for (place = 0; place < {1} * {2}; place++)
                if (image[channel * {1} * {2} + place] > 127)
                    buffers[1][place * (({0} + 7) / 8) + channel / 8] |= (uint8_t)(1 << channel % 8);
    }}
"""

BYTE_SUM = """
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

TEXT = """/* A net with weights of one bit: {origin}.

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
