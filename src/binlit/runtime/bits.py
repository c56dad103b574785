"""Bits in words: bit i of word w is element 64 w + i; the last word is filled up with zeros."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

WORD = 64
Words = NDArray[np.uint64]


def word_count(bits: int) -> int:
    """How many words hold so many bits."""
    return -(-bits // WORD)


def pack(bits: NDArray) -> Words:
    """(..., K), zero is off and anything else is on -> (..., ceil(K / 64)) little-endian uint64."""
    width = word_count(bits.shape[-1])
    packed = np.packbits(bits.astype(bool, copy=False), axis=-1, bitorder="little")
    whole = np.zeros((*bits.shape[:-1], 8 * width), np.uint8)
    whole[..., : packed.shape[-1]] = packed
    return whole.view("<u8").astype(np.uint64, copy=False)


def unpack(words: Words, count: int) -> NDArray[np.uint8]:
    """(..., W) -> (..., count) of 0 and 1, count <= 64 W."""
    octets = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=count, bitorder="little")


def signs(words: Words, count: int) -> NDArray[np.int8]:
    """(..., W) -> (..., count) of -1 (bit off) and +1."""
    return 2 * unpack(words, count).astype(np.int8) - 1


def popcount(words: Words) -> NDArray[np.uint8]:
    """Bits that are on in each word, 0 to 64; shape kept."""
    if hasattr(np, "bitwise_count"):  # numpy 2
        return np.bitwise_count(words)
    return _by_table(words)


def _by_table(words: Words) -> NDArray[np.uint8]:
    halves = np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape, 4)
    return _table()[halves].sum(-1, dtype=np.uint8)


@cache
def _table() -> NDArray[np.uint8]:
    octets = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    return np.unpackbits(octets, axis=1).sum(1, dtype=np.uint8)
