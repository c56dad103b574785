"""Where a window lies: output sizes, patches, and the patterns of taps that fall outside of the image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]


def out_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    """Windows along height and width, as torch counts them (without ceil mode)."""
    high, wide = ((s + 2 * p - k) // t + 1 for s, k, t, p in zip(size, kernel, stride, padding, strict=True))
    return high, wide


def tap_patterns(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Which taps of a window lie inside of the image.

    Returns:
        masks: (P, kh * kw), the P different patterns in a fixed order.
        of: (Hout * Wout,), the pattern of each output position, row by row.
    """
    (rows, of_row), (columns, of_column) = _axes(size, kernel, stride, padding)
    high, wide = (
        (spans[:, :1] <= np.arange(k)) & (np.arange(k) < spans[:, 1:])
        for spans, k in zip((rows, columns), kernel, strict=True)
    )
    masks = (high[:, None, :, None] & wide[None, :, None, :]).reshape(len(rows) * len(columns), -1)
    return masks, (of_row[:, None] * np.int32(len(columns)) + of_column).reshape(-1)


def pattern_count(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> int:
    """P of `tap_patterns`, without making them."""
    (rows, _), (columns, _) = _axes(size, kernel, stride, padding)
    return len(rows) * len(columns)


def _axes(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> list[tuple[NDArray[np.int64], NDArray[np.int32]]]:
    """Along height, then width: the different spans (P, 2) of taps inside, as they come first, and which is where."""
    axes = []
    for s, k, t, p, o in zip(size, kernel, stride, padding, out_size(size, kernel, stride, padding), strict=True):
        start = np.arange(o) * t - p
        first, end = np.clip(-start, 0, k), np.clip(s - start, 0, k)
        first, end = np.where(first < end, first, 0), np.where(first < end, end, 0)  # one pattern for none inside
        codes, earliest, of = np.unique(first * (k + 1) + end, return_index=True, return_inverse=True)
        order = np.argsort(earliest)
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        axes.append((np.stack(np.divmod(codes[order], k + 1), -1), place[of.reshape(-1)]))
    return axes


def windows(x: NDArray, kernel: Pair, stride: Pair, padding: Pair, fill: int = 0) -> Iterator[tuple[int, NDArray]]:
    """For each tap of a window its number and what it sees: (N, H, W, C) -> (N, Hout, Wout, C), a view."""
    (ph, pw), (kh, kw), (sh, sw) = padding, kernel, stride
    high, wide = out_size((x.shape[1], x.shape[2]), kernel, stride, padding)
    if ph or pw:
        x = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=fill)
    for tap in range(kh * kw):
        y, z = divmod(tap, kw)
        yield tap, x[:, y : y + sh * (high - 1) + 1 : sh, z : z + sw * (wide - 1) + 1 : sw]


def patches(x: NDArray, kernel: Pair, stride: Pair, padding: Pair, width: int = 0) -> NDArray:
    """(N, H, W, C) -> (N * Hout * Wout, kh * kw * C), filled up with zeros to `width` columns; zeros outside."""
    n, _, _, channels = x.shape
    high, wide = out_size((x.shape[1], x.shape[2]), kernel, stride, padding)
    taps = kernel[0] * kernel[1]
    used = taps * channels
    out = np.zeros((n, high, wide, max(width, used)), x.dtype)
    seen = out[..., :used].reshape(n, high, wide, taps, channels) if width <= used else None
    for tap, part in windows(x, kernel, stride, padding):
        if seen is None:
            out[..., tap * channels : (tap + 1) * channels] = part
        else:
            seen[..., tap, :] = part
    return out.reshape(n * high * wide, -1)
