"""The products in plain numpy: what the compiled kernel must equal, and what runs where there is no compiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from binlit.runtime.bits import Words, pack, popcount, word_count

Integers = NDArray[np.int32]
_AT_ONCE = 1 << 18  # words, or real numbers, that a product holds beside its result


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
    return _by_rows(lambda rows: count - 2 * _counts(rows, b, np.bitwise_xor), a, len(b), b.size)


def and_product(a: Words, b: Words) -> Integers:
    """Products of rows of 0 and 1 with rows of -1 and +1: (M, W), (N, W) -> int32 (M, N)."""

    def product(rows: Words) -> Integers:
        return 2 * _counts(rows, b, np.bitwise_and) - popcount(rows).sum(-1, dtype=np.int32)[:, None]

    return _by_rows(product, a, len(b), b.size)


def int8_product(pixels: NDArray[np.uint8], signs: NDArray[np.int8]) -> Integers:
    """uint8 (M, K) times int8 (N, K) of -1, 0, +1 -> int32 (M, N), exact: floats hold all sums that can occur."""
    kind = np.float32 if 255 * pixels.shape[-1] < 1 << 24 else np.float64
    weights = signs.astype(kind).T
    return _by_rows(lambda rows: rows.astype(kind) @ weights, pixels, len(signs), pixels.shape[-1] + len(signs))


def plane_product(pixels: NDArray[np.uint8], b: Words) -> Integers:
    """The same from bits: sum over planes p of 2^p (plane_p . w); uint8 (M, K), signs (N, W) packed -> int32 (M, N)."""

    def product(rows: NDArray[np.uint8]) -> Integers:
        total = np.zeros((len(rows), len(b)), np.int32)
        for p in range(8):
            total += and_product(pack(rows >> p & 1), b) << p
        return total

    return _by_rows(product, pixels, len(b), pixels.shape[-1] + len(b))


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
    out = np.empty((len(sums), word_count(sums.shape[-1])), np.uint64)
    for part in _parts(len(sums), sums.shape[-1]):
        least = thresholds[pattern[np.arange(part.start, part.stop) % len(pattern)]]
        out[part] = pack(sums[part] >= least) ^ flip
    return out


def _by_rows(product: Callable[[Any], NDArray], a: NDArray, columns: int, each: int) -> Integers:
    """`product` of some rows at a time, so that what it holds meanwhile (`each` numbers a row) stays small."""
    out = np.empty((len(a), columns), np.int32)
    for part in _parts(len(a), each):
        out[part] = product(a[part])
    return out


def _parts(rows: int, each: int) -> Iterator[slice]:
    step = max(1, _AT_ONCE // max(1, each))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _counts(a: Words, b: Words, join: np.ufunc) -> NDArray[np.int32]:
    """Bits that are on in both rows joined: (M, W), (N, W) -> (M, N)."""
    return popcount(join(a[:, None], b[None])).sum(-1, dtype=np.int32)
