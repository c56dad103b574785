"""What a packed net is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from binlit.runtime.geometry import Pair, out_size, pattern_count

LEVELS = ("pixels", "pm1", "01")
TENSORS = ("weight", "threshold", "flip", "scale", "shift")


class PackedError(ValueError):
    """A file is no packed net, or a damaged or newer one; or images do not fit the net."""


@dataclass(frozen=True)
class Pool:
    """Max pooling of bits: OR; AND in channels that flip where it stood before the BatchNorm."""

    kernel: Pair
    stride: Pair
    padding: Pair
    before_norm: bool


@dataclass(frozen=True)
class Layer:
    """One linear layer or convolution with binary weights, and what follows it up to the next bits.

    Attributes:
        name: in the net that it was made from.
        kind: `linear` or `conv2d`.
        levels: what it reads: `pixels`, bits that mean -1 and +1 (`pm1`), or 0 and 1 (`01`).
        shape: of one input: (K,), or (C, H, W) for a convolution.
        outputs: O.
        kernel, stride, padding: of a convolution.
        pools: behind it.
        weight, threshold, flip, scale, shift: see `binlit.runtime.packed_file`; those that it does not have are None.
    """

    name: str
    kind: str
    levels: str
    shape: tuple[int, ...]
    outputs: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    pools: tuple[Pool, ...] = ()
    weight: NDArray[np.uint64] = field(default_factory=lambda: np.zeros((0, 0), np.uint64))
    threshold: NDArray[np.int32] | None = None
    flip: NDArray[np.uint8] | None = None
    scale: NDArray[np.float64] | None = None
    shift: NDArray[np.float64] | None = None

    @property
    def inputs(self) -> int:
        """K: inputs of one output."""
        return self.shape[0] * (self.kernel[0] * self.kernel[1] if self.kind == "conv2d" else 1)

    @property
    def bound(self) -> int:
        """No sum of products is larger, nor smaller than its negative."""
        return self.inputs * (255 if self.levels == "pixels" else 1)

    @property
    def size(self) -> Pair:
        """(Hout, Wout) of a convolution before pooling; (1, 1) of a linear layer."""
        if self.kind == "linear":
            return 1, 1
        return out_size((self.shape[1], self.shape[2]), self.kernel, self.stride, self.padding)

    @property
    def pooled(self) -> Pair:
        """(Hout, Wout) after the pools."""
        size = self.size
        for pool in self.pools:
            size = out_size(size, pool.kernel, pool.stride, pool.padding)
        return size

    @property
    def patterns(self) -> int:
        """P: rows of the thresholds."""
        if self.kind == "linear" or self.levels != "pixels":
            return 1
        return pattern_count((self.shape[1], self.shape[2]), self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class PackedNet:
    """Layers in order, and the images that the first one reads: x = (pixel / 255 - mean) / std."""

    shape: tuple[int, int, int]
    mean: float
    std: float
    layers: tuple[Layer, ...]
