"""The products in plain numpy: what the compiled kernel must equal, and what runs where there is no compiler."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from binlit.packed.bits import Words, pack, popcount

Integers = NDArray[np.int32]
_AT_ONCE = 1 << 22  # words that a product holds in memory


class Kernel(Protocol):
    """What a model computes with. `bits` and `signs` prepare weights once; the products take what they return."""

    name: str
    first_layer: str

    def bits(self, words: Words) -> Any: ...
    def signs(self, signs: NDArray[np.int8]) -> Any: ...
    def xnor(self, a: Words, b: Any, count: int) -> Integers: ...
    def conjunction(self, a: Words, b: Any) -> Integers: ...
    def int8(self, pixels: NDArray[np.uint8], signs: Any) -> Integers: ...
    def planes(self, pixels: NDArray[np.uint8], b: Any) -> Integers: ...
    def fire(self, sums: Integers, thresholds: Integers, pattern: Integers, flip: Words) -> Words: ...


class NumpyKernel:
    """Numpy's own loops: right everywhere, fast nowhere."""

    name = "numpy"
    first_layer = "int8"

    def bits(self, words: Words) -> Words:
        return words

    def signs(self, signs: NDArray[np.int8]) -> NDArray[np.int8]:
        return signs

    def xnor(self, a: Words, b: Words, count: int) -> Integers:
        return xnor_product(a, b, count)

    def conjunction(self, a: Words, b: Words) -> Integers:
        return and_product(a, b)

    def int8(self, pixels: NDArray[np.uint8], signs: NDArray[np.int8]) -> Integers:
        return int8_product(pixels, signs)

    def planes(self, pixels: NDArray[np.uint8], b: Words) -> Integers:
        return plane_product(pixels, b)

    def fire(self, sums: Integers, thresholds: Integers, pattern: Integers, flip: Words) -> Words:
        return fire(sums, thresholds, pattern, flip)


def xnor_product(a: Words, b: Words, count: int) -> Integers:
    """Products of rows of -1 and +1, `count` of them, packed with bit 1 for +1: (M, W), (N, W) -> int32 (M, N)."""
    return (count - 2 * _counts(a, b, np.bitwise_xor)).astype(np.int32)


def and_product(a: Words, b: Words) -> Integers:
    """Products of rows of 0 and 1 with rows of -1 and +1: (M, W), (N, W) -> int32 (M, N)."""
    ones = popcount(a).sum(-1, dtype=np.int64)
    return (2 * _counts(a, b, np.bitwise_and) - ones[:, None]).astype(np.int32)


def int8_product(pixels: NDArray[np.uint8], signs: NDArray[np.int8]) -> Integers:
    """uint8 (M, K) times int8 (N, K) of -1, 0, +1 -> int32 (M, N), exact: floats hold all sums that can occur."""
    kind = np.float32 if 255 * pixels.shape[-1] < 1 << 24 else np.float64
    return (pixels.astype(kind) @ signs.astype(kind).T).astype(np.int32)


def plane_product(pixels: NDArray[np.uint8], b: Words) -> Integers:
    """The same from bits: sum over planes p of 2^p (plane_p . w); uint8 (M, K), signs (N, W) packed -> int32 (M, N)."""
    total = np.zeros((len(pixels), len(b)), np.int32)
    for p in range(8):
        total += and_product(pack(pixels >> p & 1), b) << p
    return total


def fire(sums: Integers, thresholds: Integers, pattern: Integers, flip: Words) -> Words:
    """(sums >= thresholds[pattern of the row]) ^ flip, packed.

    Args:
        sums: (M, N).
        thresholds: (P, N).
        pattern: (positions,), positions divides M; row m has pattern[m mod positions].
        flip: (ceil(N / 64),).

    Returns:
        (M, ceil(N / 64)).
    """
    by_position = sums.reshape(-1, len(pattern), sums.shape[-1])
    return pack(by_position >= thresholds[pattern]).reshape(len(sums), -1) ^ flip


def _counts(a: Words, b: Words, join: np.ufunc) -> NDArray[np.int64]:
    out = np.empty((len(a), len(b)), np.int64)
    rows = max(1, _AT_ONCE // max(1, b.size))
    for start in range(0, len(a), rows):
        both = join(a[start : start + rows, None], b[None])
        out[start : start + rows] = popcount(both).sum(-1, dtype=np.int64)
    return out
