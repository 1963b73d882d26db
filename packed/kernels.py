"""Compiled loops on 64-bit words: XNOR and AND products by popcount, thresholds to bits, patches of convolutions.

Compiled code is kept beside this file (numba's cache), so that only the first use waits for the compiler. The loops
hold no interpreter lock: `engine.Batched` runs them on several threads, a batch each.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

compiled: Any = njit(cache=True, nogil=True, error_model="numpy")


@intrinsic
def _popcount(typing_context: Any, x: Any) -> Any:
    """Number of 1 bits of a uint64, as LLVM's `ctpop`: an instruction where the processor has one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


popcount: Any = _popcount


@compiled
def sign_sums(x: Any, weight: Any, start: Any, out: Any) -> None:
    """out[p, o] = start[p mod B, o] − 2·popcount(x[p] xor weight[:, o]).

    x (P, W) and weight (W, O) uint64, start (B, O) and out (P, O) int32. Outputs are innermost, so that the compiler
    takes several at a time; four words a pass over them."""
    places, words = x.shape
    outputs = weight.shape[1]
    for p in range(places):
        first = p % len(start)
        for o in range(outputs):
            out[p, o] = start[first, o]
        k = 0
        while k + 4 <= words:
            x0, x1, x2, x3 = x[p, k], x[p, k + 1], x[p, k + 2], x[p, k + 3]
            for o in range(outputs):
                ones = popcount(x0 ^ weight[k, o]) + popcount(x1 ^ weight[k + 1, o])
                ones += popcount(x2 ^ weight[k + 2, o]) + popcount(x3 ^ weight[k + 3, o])
                out[p, o] -= np.int32(2) * np.int32(ones)
            k += 4
        while k < words:
            x0 = x[p, k]
            for o in range(outputs):
                out[p, o] -= np.int32(2) * np.int32(popcount(x0 ^ weight[k, o]))
            k += 1


@compiled
def byte_sums(x: Any, weight: Any, start: Any, out: Any) -> None:
    """out[p, o] = start[p mod B, o] + 4·Σ_n 2ⁿ·popcount(xⁿ[p] and weight[:, o]) − 2·Σ x[p], n = 0..7.

    x: uint64 (P, V), each 8 bytes; xⁿ are bits n of the bytes. The sum over n is Horner's, from n = 7 down; two words
    a pass over the outputs."""
    places, outputs = out.shape
    words = len(weight)
    bits = np.empty((8, words), np.uint64)
    for p in range(places):
        total = bit_planes(x[p], bits)
        first = p % len(start)
        for o in range(outputs):
            out[p, o] = start[first, o] - np.int32(2 * total)
        k = 0
        while k + 2 <= words:
            a0, a1, a2, a3 = bits[0, k], bits[1, k], bits[2, k], bits[3, k]
            a4, a5, a6, a7 = bits[4, k], bits[5, k], bits[6, k], bits[7, k]
            b0, b1, b2, b3 = bits[0, k + 1], bits[1, k + 1], bits[2, k + 1], bits[3, k + 1]
            b4, b5, b6, b7 = bits[4, k + 1], bits[5, k + 1], bits[6, k + 1], bits[7, k + 1]
            for o in range(outputs):
                v, w = weight[k, o], weight[k + 1, o]
                ones = popcount(a7 & v) + popcount(b7 & w)
                ones = ones + ones + popcount(a6 & v) + popcount(b6 & w)
                ones = ones + ones + popcount(a5 & v) + popcount(b5 & w)
                ones = ones + ones + popcount(a4 & v) + popcount(b4 & w)
                ones = ones + ones + popcount(a3 & v) + popcount(b3 & w)
                ones = ones + ones + popcount(a2 & v) + popcount(b2 & w)
                ones = ones + ones + popcount(a1 & v) + popcount(b1 & w)
                ones = ones + ones + popcount(a0 & v) + popcount(b0 & w)
                out[p, o] += np.int32(4) * np.int32(ones)
            k += 2
        if k < words:
            a0, a1, a2, a3 = bits[0, k], bits[1, k], bits[2, k], bits[3, k]
            a4, a5, a6, a7 = bits[4, k], bits[5, k], bits[6, k], bits[7, k]
            for o in range(outputs):
                v = weight[k, o]
                ones = popcount(a7 & v)
                ones = ones + ones + popcount(a6 & v)
                ones = ones + ones + popcount(a5 & v)
                ones = ones + ones + popcount(a4 & v)
                ones = ones + ones + popcount(a3 & v)
                ones = ones + ones + popcount(a2 & v)
                ones = ones + ones + popcount(a1 & v)
                ones = ones + ones + popcount(a0 & v)
                out[p, o] += np.int32(4) * np.int32(ones)


@compiled
def bit_planes(x: Any, planes: Any) -> int:
    """planes[n] = bit n of each byte of x, a uint64 of 8 bytes each; returns the sum of the bytes.

    Of 8 bytes that are 0 or 1, the product gathers the bits in its highest byte."""
    total: Any = 0
    for n in range(8):
        for k in range(planes.shape[1]):
            planes[n, k] = 0
    for v in range(len(x)):
        shift = np.uint64(8 * (v % 8))
        for n in range(8):
            ones = (x[v] >> np.uint64(n)) & np.uint64(0x0101010101010101)
            eight = (ones * np.uint64(0x0102040810204080)) >> np.uint64(56)
            planes[n, v // 8] |= eight << shift
            total += np.int64(popcount(eight)) << n
    return total


@compiled
def to_bits(sums: Any, threshold: Any, inverted: Any, bits: Any) -> None:
    """bits[p] = (sums[p] ≥ threshold) xor inverted, 64 to a word. sums (P, O) int32, inverted (⌈O/64⌉,) uint64."""
    places, outputs = sums.shape
    for p in range(places):
        for k in range(bits.shape[1]):
            first = 64 * k
            word = np.uint64(0)
            for j in range(min(64, outputs - first)):
                word |= np.uint64(sums[p, first + j] >= threshold[first + j]) << np.uint64(j)
            bits[p, k] = word ^ inverted[k]


@compiled
def real_to_bits(values: Any, bits: Any) -> None:
    """bits[p] = values[p] ≥ 0, 64 to a word. values (P, C) float32."""
    places, count = values.shape
    for p in range(places):
        for k in range(bits.shape[1]):
            first = 64 * k
            word = np.uint64(0)
            for j in range(min(64, count - first)):
                word |= np.uint64(values[p, first + j] >= np.float32(0)) << np.uint64(j)
            bits[p, k] = word


@compiled
def normalize(x: Any, center: Any, scale: Any, shift: Any, out: Any) -> None:
    """out[p, c] = (x[p, c] − center[c])·scale[c] + shift[c]. x (P, C) int32 or float32, center float32; the difference
    is rounded to float32; scale and shift float64; product (exact) and sum in float64; out float32."""
    places, channels = x.shape
    for p in range(places):
        for c in range(channels):
            centered = np.float32(np.float32(x[p, c]) - center[c])
            out[p, c] = np.float32(np.float64(centered) * scale[c] + shift[c])


@compiled
def pack(values: Any, words: Any) -> None:
    """words[p] = the bits of values[p] (0 or 1, uint8), 64 to a word, the first lowest."""
    places, count = values.shape
    for p in range(places):
        for k in range(words.shape[1]):
            first = 64 * k
            word = np.uint64(0)
            for j in range(min(64, count - first)):
                word |= np.uint64(values[p, first + j]) << np.uint64(j)
            words[p, k] = word


@compiled
def patches(maps: Any, kernel_rows: int, kernel_columns: int, padding: int, stride: int, out: Any) -> None:
    """out[n, i, j] = the values under the kernel at row i, column j; outside of the maps 0. maps (N, h, w, C)."""
    images, height, width, channels = maps.shape
    for n in range(images):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                at = 0
                for a in range(kernel_rows):
                    row = i * stride + a - padding
                    for b in range(kernel_columns):
                        column = j * stride + b - padding
                        if 0 <= row < height and 0 <= column < width:
                            for c in range(channels):
                                out[n, i, j, at + c] = maps[n, row, column, c]
                        else:
                            for c in range(channels):
                                out[n, i, j, at + c] = 0
                        at += channels


@compiled
def dense_patches(
    maps: Any, channels: int, kernel_rows: int, kernel_columns: int, padding: int, stride: int, out: Any
) -> None:
    """As `patches`, of maps (N, h, w, 1) whose words have `channels` ≤ 64 bits: these follow one another in out."""
    images, height, width, _ = maps.shape
    for n in range(images):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for k in range(out.shape[3]):
                    out[n, i, j, k] = 0
                at = 0
                for a in range(kernel_rows):
                    row = i * stride + a - padding
                    for b in range(kernel_columns):
                        column = j * stride + b - padding
                        if 0 <= row < height and 0 <= column < width:
                            bits = maps[n, row, column, 0]
                            place = at % 64
                            out[n, i, j, at // 64] |= bits << np.uint64(place)
                            if place + channels > 64:
                                out[n, i, j, at // 64 + 1] |= bits >> np.uint64(64 - place)
                        at += channels


@compiled
def largest(sums: Any, size: int, stride: int, padding: int, out: Any) -> None:
    """Max-pooling of maps (N, h, w, C) to out (N, rows, columns, C). Places of the padding are no values."""
    images, height, width, channels = sums.shape
    for n in range(images):
        for i in range(out.shape[1]):
            first_row = max(0, i * stride - padding)
            for j in range(out.shape[2]):
                first_column = max(0, j * stride - padding)
                for c in range(channels):
                    out[n, i, j, c] = sums[n, first_row, first_column, c]
                for row in range(first_row, min(height, i * stride - padding + size)):
                    for column in range(first_column, min(width, j * stride - padding + size)):
                        for c in range(channels):
                            out[n, i, j, c] = max(out[n, i, j, c], sums[n, row, column, c])


@compiled
def average(x: Any, window_rows: int, window_columns: int, out: Any) -> None:
    """Means of maps (N, h, w, C) float32 to out (N, ⌈h/rows⌉, ⌈w/columns⌉, C), of what lies inside of each window. Sums
    in float64, of each column of a window first."""
    images, height, width, channels = x.shape
    column_sum, total = np.empty(channels, np.float64), np.empty(channels, np.float64)
    for n in range(images):
        for i in range(out.shape[1]):
            last_row = min(height, (i + 1) * window_rows)
            for j in range(out.shape[2]):
                last_column = min(width, (j + 1) * window_columns)
                total[:] = 0
                for column in range(j * window_columns, last_column):
                    column_sum[:] = 0
                    for row in range(i * window_rows, last_row):
                        for c in range(channels):
                            column_sum[c] += x[n, row, column, c]
                    for c in range(channels):
                        total[c] += column_sum[c]
                terms = (last_row - i * window_rows) * (last_column - j * window_columns)
                for c in range(channels):
                    out[n, i, j, c] = np.float32(total[c] / terms)
