"""The compiled kernel: kernel.c built on first use with the system's compiler, kept in the cache, called by ctypes."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from binlit.runtime import kernel_folder, reference
from binlit.runtime.bits import Words, word_count
from binlit.runtime.compiler import REMEDY, built
from binlit.runtime.compiler import NativeError as NativeError
from binlit.runtime.reference import Integers

SOURCE = Path(__file__).with_name("kernel.c")
FLAGS = ("-O3", "-march=native", "-shared", "-fPIC", "-pthread")
XOR, AND, SIGN = range(3)
AT_ONCE = 1 << 18  # pixels and sums whose planes are held


class KernelCacheWarning(UserWarning):
    """The cache cannot keep the compiled kernel, so that each start compiles it anew."""


@dataclass(frozen=True)
class Panels:
    """Weights as kernel.c reads them: `rows` rows of `width` words (bits) or values (signs)."""

    data: NDArray
    rows: int
    width: int


class NativeKernel:
    """Same results as `NumpyKernel`.

    Args:
        threads: that a product is cut among, 1 to 64.

    Raises:
        NativeError: there is no compiler, or it fails.
        ValueError: threads lies outside of that.
    """

    name = "native"
    first_layer = "int8"

    def __init__(self, threads: int = 1) -> None:
        if not 1 <= threads <= 64:
            raise ValueError(f"threads={threads} must lie between 1 and 64")
        self.threads = threads
        self._library = library()

    def bits(self, words: Words) -> Panels:
        """(N, W) -> panels of 8 rows, word by word."""
        rows, width = words.shape
        whole = np.zeros((-(-rows // 8) * 8, width), np.uint64)
        whole[:rows] = words
        return Panels(np.ascontiguousarray(whole.reshape(-1, 8, width).transpose(0, 2, 1)), rows, width)

    def signs(self, signs: NDArray[np.int8]) -> Panels:
        """(N, K), K a multiple of 4 -> panels of 16 rows, four values by four."""
        rows, width = signs.shape
        if width % 4:
            raise ValueError(f"rows of {width} signs must be filled up with zeros to a multiple of 4")
        whole = np.zeros((-(-rows // 16) * 16, width), np.int8)
        whole[:rows] = signs
        return Panels(np.ascontiguousarray(whole.reshape(-1, 16, width // 4, 4).transpose(0, 2, 1, 3)), rows, width)

    def xnor(self, a: Words, b: Panels, count: int) -> Integers:
        return self._product(a, b, XOR, np.uint64, count)

    def conjunction(self, a: Words, b: Panels) -> Integers:
        return self._product(a, b, AND, np.uint64)

    def int8(self, pixels: NDArray[np.uint8], signs: Panels) -> Integers:
        return self._product(pixels, signs, SIGN, np.uint8)

    def planes(self, pixels: NDArray[np.uint8], b: Panels) -> Integers:
        pixels = np.ascontiguousarray(pixels)
        total = np.empty((len(pixels), b.rows), np.int32)
        step = max(1, AT_ONCE // (b.rows + pixels.shape[1]))  # rows: planes and their sums take eight times their room
        for start in range(0, len(pixels), step):
            total[start : start + step] = self._planes(pixels[start : start + step], b)
        return total

    def _planes(self, pixels: NDArray[np.uint8], b: Panels) -> Integers:
        rows, columns = pixels.shape
        planes = np.empty((8 * rows, word_count(columns)), np.uint64)
        self._library.planes(_at(pixels), _at(planes), rows, columns)
        sums = self.conjunction(planes, b).reshape(8, rows, b.rows)
        total = sums[7]
        for p in range(6, -1, -1):  # Horner
            total <<= 1
            total += sums[p]
        return total

    def fire(self, sums: Integers, thresholds: Integers, pattern: Integers, flip: Words) -> Words:
        rows, columns = sums.shape
        out = np.empty((rows, word_count(columns)), np.uint64)
        held = [np.ascontiguousarray(x, np.int32) for x in (sums, thresholds, pattern)]
        flip = np.ascontiguousarray(flip)
        self._library.fire(*map(_at, held), len(pattern), _at(flip), _at(out), rows, columns)
        return out

    def _product(self, a: NDArray, b: Panels, op: int, kind: Any, count: int = 0) -> Integers:
        a = np.ascontiguousarray(a, kind)
        if a.ndim != 2 or a.shape[1] != b.width:
            raise ValueError(f"rows of shape {a.shape} do not fit weights of {b.width} columns")
        out = np.empty((len(a), b.rows), np.int32)
        self._library.product(_at(a), _at(b.data), _at(out), len(a), b.rows, b.width, count, op, self.threads)
        return out


def instruction_set() -> str:
    """What the kernel of this machine is compiled to: of the bit products, and of those with pixels.

    Raises:
        NativeError: there is none.
    """
    loaded = library()
    return f"{loaded.bit_instructions().decode()}, {loaded.sign_instructions().decode()}"


@cache
def library() -> Any:
    """kernel.c, compiled where the cache does not hold it yet, loaded, and compared with numpy's results once.

    Raises:
        NativeError: there is no compiler, it fails or takes too long, or the results differ.

    Warns:
        KernelCacheWarning: the cache cannot keep the kernel.
    """
    if os.name != "posix":
        raise NativeError(f"the kernel is made for POSIX systems: {REMEDY}")
    key, why = _key(), None
    try:
        content = kernel_folder.kept(key)
    except kernel_folder.CacheError as error:
        content, why = None, error
    if content is not None:
        with contextlib.suppress(NativeError):  # of another system that shares the cache
            return _loaded(content)
    content = built(SOURCE, FLAGS)
    loaded = _loaded(content)
    try:
        kernel_folder.keep(key, content)
    except kernel_folder.CacheError as error:
        why = error
    if why is not None:
        said = f"the kernel is compiled at each start, for the cache cannot keep it ({why})"
        warnings.warn(said, KernelCacheWarning, stacklevel=2)
    return loaded


def _loaded(content: bytes) -> Any:
    """The library of these bytes with its functions declared, once it gives numpy's results."""
    try:
        loaded = kernel_folder.loaded(content)
        address, number, small = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
        loaded.product.argtypes = [address] * 3 + [number] * 4 + [small] * 2
        loaded.fire.argtypes = [address] * 3 + [number, address, address, number, number]
        loaded.planes.argtypes = [address, address, number, number]
        for function in (loaded.product, loaded.fire, loaded.planes):
            function.restype = None
        for function in (loaded.bit_instructions, loaded.sign_instructions):
            function.argtypes, function.restype = [], ctypes.c_char_p
    except (OSError, AttributeError) as error:
        raise NativeError(f"the compiled kernel cannot be loaded ({error}): {REMEDY}") from error
    _compare(loaded)
    return loaded


def _at(array: NDArray) -> int:
    return array.ctypes.data


def _key() -> str:
    """Changes with the source, the flags and the processor: another machine may share the cache."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        processor = platform.processor()
    system = (*FLAGS, processor, platform.machine(), *platform.libc_ver())
    return hashlib.sha256(b"\0".join([SOURCE.read_bytes(), *(part.encode() for part in system)])).hexdigest()[:16]


def _compare(loaded: Any) -> None:
    """A small product of each sort against numpy's: a compiler's slip must not become a prediction."""
    kernel = object.__new__(NativeKernel)
    kernel.threads, kernel._library = 1, loaded
    draw = np.random.default_rng(0)
    a, b = (draw.integers(0, 1 << 63, (rows, 3), np.uint64) for rows in (9, 43))
    pixels, signs = draw.integers(0, 256, (9, 20), np.uint8), draw.choice(np.array([-1, 1], np.int8), (43, 20))
    pairs = [
        (kernel.xnor(a, kernel.bits(b), 192), reference.xnor_product(a, b, 192)),
        (kernel.conjunction(a, kernel.bits(b)), reference.and_product(a, b)),
        (kernel.int8(pixels, kernel.signs(signs)), reference.int8_product(pixels, signs)),
    ]
    if not all(np.array_equal(*pair) for pair in pairs):
        raise NativeError("the compiled kernel gives other integers than numpy: load with kernel='numpy'")
