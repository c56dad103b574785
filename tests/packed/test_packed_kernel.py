"""Products of bits: numpy's against plain integers, and the compiled kernel's equal to numpy's, bit for bit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from binlit.runtime import bits, native, reference
from binlit.runtime.native import NativeError, NativeKernel

SHAPES = [*itertools.product((1, 3, 4, 9, 37), (1, 8, 33, 70), (1, 63, 64, 65, 300)), (2, 5, 4096), (0, 3, 10)]


def drawn(*shape: int) -> Any:
    """uint8 pixels of a shape, the same every time."""
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="module")
def kernel():
    try:
        return NativeKernel()
    except NativeError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("count", [1, 7, 63, 64, 65, 128, 200])
def test_bit_i_of_word_w_is_element_64w_plus_i(count):
    values = drawn(3, count) & 1
    words = bits.pack(values)
    assert words.shape == (3, bits.word_count(count))
    for row, i in itertools.product(range(3), range(64 * words.shape[1])):
        bit = int(words[row, i // 64]) >> (i % 64) & 1
        assert bit == (values[row, i] if i < count else 0)
    assert np.array_equal(bits.unpack(words, count), values)
    assert np.array_equal(bits.signs(words, count), 2 * values.astype(int) - 1)
    assert np.array_equal(bits.popcount(words).sum(-1), values.sum(-1))
    assert np.array_equal(bits._by_table(words), bits.popcount(words))


@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_products_are_those_of_integers(m, n, k):
    a, w, pixels = drawn(m, k) & 1, drawn(n, k, 2)[..., 0] & 1, drawn(m, k, 3)[..., 0]
    plus, minus = 2 * w.astype(int) - 1, 2 * a.astype(int) - 1
    packed_a, packed_w = bits.pack(a), bits.pack(w)
    assert np.array_equal(reference.xnor_product(packed_a, packed_w, k), minus @ plus.T)
    assert np.array_equal(reference.and_product(packed_a, packed_w), a.astype(int) @ plus.T)
    assert np.array_equal(reference.int8_product(pixels, plus.astype(np.int8)), pixels.astype(int) @ plus.T)
    assert np.array_equal(reference.plane_product(pixels, packed_w), pixels.astype(int) @ plus.T)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_the_compiled_kernel_gives_the_same_integers(kernel, threads, m, n, k):
    native_kernel, width = NativeKernel(threads), -(-k // 4) * 4
    a, w, pixels = bits.pack(drawn(m, k) & 1), bits.pack(drawn(n, k, 2)[..., 0] & 1), drawn(m, width, 3)[..., 0]
    signs = np.zeros((n, width), np.int8)
    signs[:, :k] = bits.signs(w, k)
    prepared = native_kernel.bits(w)
    assert np.array_equal(native_kernel.xnor(a, prepared, k), reference.xnor_product(a, w, k))
    assert np.array_equal(native_kernel.conjunction(a, prepared), reference.and_product(a, w))
    assert np.array_equal(native_kernel.int8(pixels, native_kernel.signs(signs)), reference.int8_product(pixels, signs))
    pixels[:, k:] = 0
    assert np.array_equal(native_kernel.planes(pixels, prepared), reference.plane_product(pixels, w))


@pytest.mark.parametrize(("m", "n"), [(1, 1), (6, 17), (9, 64), (12, 130)])
def test_bits_fire_at_their_thresholds(kernel, m, n):
    sums = drawn(m, n).astype(np.int32) - 128
    least = drawn(3, n, 2)[..., 0].astype(np.int32) - 128
    least[:, 0] = sums[0, 0]  # equality is on
    flip, pattern = drawn(n, 5)[:, 0] & 1, np.array([2, 0, 1] if m % 3 == 0 else [1], np.int32)
    expected = (sums >= least[np.resize(pattern, m)]) ^ (flip == 1)
    for each in (reference.NumpyKernel(), kernel):
        words = each.fire(sums, least, pattern, bits.pack(flip))
        assert np.array_equal(bits.unpack(words, n), expected)
        assert np.array_equal(words, bits.pack(expected))  # nothing behind the last


def test_the_kernel_says_what_it_is_made_of(kernel):
    assert native.instruction_set().split(", ")[0] in ("AVX-512 VPOPCNTDQ", "AVX2", "64-bit words")


@pytest.mark.parametrize("threads", [0, 65])
def test_threads_have_bounds(threads):
    with pytest.raises(ValueError, match=f"threads={threads} must lie between 1 and 64"):
        NativeKernel(threads)


def test_rows_that_do_not_fit_are_refused(kernel):
    with pytest.raises(ValueError, match="do not fit weights of 2 columns"):
        kernel.xnor(np.zeros((3, 1), np.uint64), kernel.bits(np.zeros((4, 2), np.uint64)), 128)


def test_without_a_compiler_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("BINLIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    native.library.cache_clear()
    try:
        with pytest.raises(NativeError, match=r"no C compiler \(no-such-compiler\).*load with kernel='numpy'"):
            NativeKernel()
    finally:
        native.library.cache_clear()


@pytest.mark.parametrize("flag", ["-mavx2", "-mno-avx"])
def test_machines_without_avx512_get_the_same_integers(monkeypatch, tmp_path, kernel, flag):
    """The other branches of kernel.c, compiled here for older processors."""
    import platform

    if platform.machine() != "x86_64" or (flag == "-mavx2" and "AVX" not in native.instruction_set()):
        pytest.skip("this processor does not run them")
    monkeypatch.setenv("BINLIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(native, "FLAGS", ("-O3", flag, "-shared", "-fPIC", "-pthread"))
    native.library.cache_clear()
    try:
        other = NativeKernel()
        assert native.instruction_set() == {"-mavx2": "AVX2, AVX2", "-mno-avx": "64-bit words, plain C"}[flag]
        for m, n, k in ((5, 33, 300), (1, 7, 64), (9, 70, 65)):
            test_the_compiled_kernel_gives_the_same_integers(other, 1, m, n, k)
        test_bits_fire_at_their_thresholds(other, 6, 130)
    finally:
        native.library.cache_clear()
