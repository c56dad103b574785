"""A packed net at work: sums of bits, integer thresholds, bits again; real numbers only in the scores."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from binlit.runtime import bits
from binlit.runtime.bits import Words
from binlit.runtime.bounds import MEMORY as _MEMORY
from binlit.runtime.bounds import working_memory
from binlit.runtime.geometry import Pair, patches, tap_patterns, windows
from binlit.runtime.native import NativeError, NativeKernel
from binlit.runtime.net import Layer, PackedError, PackedNet, Pool
from binlit.runtime.packed_file import read
from binlit.runtime.reference import Integers, Kernel, NumpyKernel

KERNELS, FIRST = ("auto", "native", "numpy"), ("auto", "int8", "planes")


class NumpyKernelWarning(UserWarning):
    """The compiled kernel was not to be had, and numpy, which is slower, takes its place."""


def load(
    path: str | Path, kernel: str = "auto", threads: int = 1, first_layer: str = "auto", memory: int | None = None
) -> PackedModel:
    """The net of a file made by `python -m binlit.export`.

    Args:
        kernel: `native` (compiled on first use), `numpy`, or `auto`: native where it can be had; `model.kernel` says.
        threads: of the native kernel.
        first_layer: products of pixels with signs as `int8`, or by bit `planes`; `auto` takes the faster. Same result.
        memory: bytes that a layer may take for a batch, which is cut to fit; a net of which one image takes more is
            refused. Default: 24 MiB. Weights come on top.

    Raises:
        PackedError: the file is none, or damaged, or asks for more memory.
        NativeError: `native`, and there is no compiler.
        ValueError: a name is not known.

    Warns:
        NumpyKernelWarning: `auto`, and there is no compiler.

    Examples:
        >>> import binlit, numpy
        >>> words = ["model=mlp", "model.hidden=[64]", "model.norm=all", "binary=bnn", "weight=bnn"]
        >>> run = binlit.run([*words, "estimator=st_clipped", "trainer.max_epochs=1", "name=packed"], quiet=True)
        >>> path = binlit.load(run.folder).pack("net.binlit")
        >>> model = binlit.runtime.load(path, kernel="numpy")
        >>> model.predict(numpy.zeros((3, 1, 28, 28), numpy.uint8)).shape
        (3,)
    """
    return PackedModel(read(path, memory or _MEMORY), kernel, threads, first_layer, memory)


class PackedModel:
    """See `load`.

    Attributes:
        net: what is in the file.
        kernel: `native` or `numpy`.
    """

    def __init__(
        self,
        net: PackedNet,
        kernel: str = "auto",
        threads: int = 1,
        first_layer: str = "auto",
        memory: int | None = None,
    ) -> None:
        for name, value, known in (("kernel", kernel, KERNELS), ("first_layer", first_layer, FIRST)):
            if value not in known:
                raise ValueError(f"{name}={value!r} is not known; choose {', '.join(known)}")
        self.net = net
        self._kernel = _kernel(kernel, threads)
        self.kernel = self._kernel.name
        self.first_layer = self._kernel.first_layer if first_layer == "auto" else first_layer
        self._stages: list[_Stage] = []
        before: Layer | None = None
        for layer in net.layers:
            self._stages.append(_Stage(layer, before, self._kernel, self.first_layer))
            before = layer
        self._rows = max(1, (memory or _MEMORY) // max(stage.memory for stage in self._stages))

    def integers(self, images: NDArray[np.uint8]) -> Integers:
        """Sums of the last layer, before its scale and BatchNorm: uint8 (N, C, H, W) -> int32 (N, outputs).

        Raises:
            PackedError: the images have another shape or type.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.shape[1:] != self.net.shape:
            raise PackedError(
                f"images are {images.dtype} {images.shape}, and this net reads uint8 pixels of 0 to 255 in the shape "
                f"(N, {', '.join(map(str, self.net.shape))})"
            )
        if not len(images):
            return np.zeros((0, self.net.layers[-1].outputs), np.int32)
        return np.concatenate([self._run(images[i : i + self._rows]) for i in range(0, len(images), self._rows)])

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """uint8 (N, C, H, W) -> logits (N, outputs)."""
        last = self.net.layers[-1]
        assert last.scale is not None
        assert last.shift is not None
        return self.integers(images) * last.scale + last.shift

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """uint8 (N, C, H, W) -> class (N,); the first of equals."""
        return self.scores(images).argmax(-1)

    def _run(self, images: NDArray[np.uint8]) -> Integers:
        x: NDArray = images
        for stage in self._stages:
            x = stage(x)
        return x

    def __repr__(self) -> str:
        layers = " -> ".join(f"{layer.kind} {layer.outputs}" for layer in self.net.layers)
        return f"PackedModel({self.net.shape} -> {layers}, kernel={self.kernel!r})"


class _Stage:
    """One layer, its weights laid out for the kernel.

    Bits come as words (N, W) from a linear layer, (N, H, W, ceil(C / 64)) from a convolution; each pixel's channels
    begin a new word, and so do those of the weights here.
    """

    def __init__(self, layer: Layer, before: Layer | None, kernel: Kernel, first: str) -> None:
        self.layer, self.kernel, self.first = layer, kernel, first
        self.conv = layer.kind == "conv2d"
        channels = layer.shape[0] if self.conv or before is None else before.outputs
        weight = bits.unpack(layer.weight, layer.inputs)  # (O, K)
        self.width = -(-layer.inputs // 4) * 4  # of rows of pixels: the kernel takes four at a time
        if layer.levels == "pixels":
            signs = np.zeros((layer.outputs, self.width), np.int8)
            signs[:, : layer.inputs] = 2 * weight.astype(np.int8) - 1
            self.weight: Any = kernel.signs(signs) if first == "int8" else kernel.bits(layer.weight)
        else:
            by_pixel = bits.pack(weight.reshape(layer.outputs, -1, channels))
            self.weight = kernel.bits(by_pixel.reshape(layer.outputs, -1))
        self.memory = working_memory(layer, channels)
        if layer.threshold is not None and layer.flip is not None:
            self._bounds(layer, weight, layer.threshold, layer.flip)

    def _bounds(self, layer: Layer, weight: NDArray[np.uint8], threshold: Integers, flip: NDArray[np.uint8]) -> None:
        """Thresholds for each pattern of taps, as bit = (sum >= threshold) ^ flip."""
        least = threshold + flip.astype(np.int32)  # s <= T is not (s >= T + 1)
        self.flip = bits.pack(flip)
        self.pattern = np.zeros(1, np.int32)
        if self.conv and any(layer.padding) and layer.levels != "01":
            masks, self.pattern = tap_patterns(layer.shape[1:], layer.kernel, layer.stride, layer.padding)  # type: ignore[arg-type]
            if layer.levels == "pm1":  # a tap outside reads 0 and was summed as the bit off, -w: its w is missing
                on = weight.reshape(layer.outputs, masks.shape[1], -1).sum(-1, dtype=np.int32)
                taps = 2 * on - layer.shape[0]
                outside = (~masks).astype(np.float32) @ taps.T.astype(np.float32)  # exact: below 2^24
                least = least - outside.astype(np.int32)
        self.least = np.ascontiguousarray(least, np.int32)

    def __call__(self, x: NDArray) -> NDArray:
        layer = self.layer
        sums = self._sums(x)
        if layer.threshold is None:
            return sums
        words = self.kernel.fire(sums, self.least, self.pattern, self.flip)
        del sums  # room for the pools
        if not self.conv:
            return words
        words = words.reshape(len(x), *layer.size, -1)
        for pool in layer.pools:
            words = pool_bits(words, pool, self.flip)
        return words

    def _sums(self, x: NDArray) -> Integers:
        """(N * Hout * Wout, O); with ±1 bits, taps outside of the image count as -1 here."""
        layer, kernel = self.layer, self.kernel
        window = (layer.kernel, layer.stride, layer.padding)
        if layer.levels == "pixels":
            if self.conv:
                rows = patches(x.transpose(0, 2, 3, 1), *window, width=self.width)
            else:
                rows = np.zeros((len(x), self.width), np.uint8)
                rows[:, : layer.inputs] = x.reshape(len(x), -1)
            return (kernel.int8 if self.first == "int8" else kernel.planes)(rows, self.weight)
        rows = patches(x, *window) if self.conv else x.reshape(len(x), -1)
        return (
            kernel.xnor(rows, self.weight, layer.inputs)
            if layer.levels == "pm1"
            else kernel.conjunction(rows, self.weight)
        )


def pool_bits(words: Words, pool: Pool, flip: Words) -> Words:
    """Max pooling of bits, (N, H, W, words of channels); what lies outside is never the largest.

    max of sums, then a bit that falls with the sum, is AND of the bits: the bit of a maximum is on only where all are.
    """
    window = (pool.kernel, pool.stride, pool.padding)
    largest = reduce(np.bitwise_or, _seen(words, window, 0))
    if not pool.before_norm or not flip.any():
        return largest
    ones = (1 << 64) - 1
    least = reduce(np.bitwise_and, _seen(words, window, ones))
    return (largest & ~flip) | (least & flip)


def _seen(words: Words, window: tuple[Pair, Pair, Pair], fill: int) -> Iterator[Words]:
    return (part for _, part in windows(words, *window, fill=fill))


def _kernel(name: str, threads: int) -> Kernel:
    if name == "numpy":
        return NumpyKernel()
    try:
        return NativeKernel(threads)
    except NativeError as error:
        if name == "native":
            raise
        warnings.warn(f"slower: numpy computes, for {error}", NumpyKernelWarning, stacklevel=4)
        return NumpyKernel()
