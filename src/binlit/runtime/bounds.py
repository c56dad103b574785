"""Bounds on a packed net: its parts fit each other, and it needs no more memory than is allowed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from binlit.runtime.bits import WORD, word_count
from binlit.runtime.geometry import out_size, pattern_count
from binlit.runtime.net import LEVELS, TENSORS, Layer, PackedError, PackedNet

MEMORY = 24 << 20  # bytes that a layer's patches, sums and bits of a batch may take
LAYERS = 1000
UNFOLDED = (
    32  # tensors laid out for a kernel may take so many times their bytes in the file, and what is left of MEMORY
)


def check(net: PackedNet, memory: float = math.inf) -> None:
    """Goes through the layers in order; what a layer would take is counted before anything of it is made.

    Args:
        memory: bytes that one image may take in a layer, with what the tensors take beyond UNFOLDED times their own.

    Raises:
        PackedError: parts do not fit each other, a number is out of its range, or memory would not do.
    """
    finite = math.isfinite(net.mean) and 0 < net.std < math.inf
    if not (1 <= len(net.layers) <= LAYERS and min(net.shape) >= 1 and finite):
        raise PackedError(
            f"a net needs a layer (at most {LAYERS}), an image and std > 0: {len(net.layers)}, {net.shape}, {net.std}"
        )
    image, kept, held = net.shape, 0, 0
    _need(net, math.prod(image) <= memory, f"an image takes {_bytes(math.prod(image))}, more than {_bytes(memory)}")
    for number, layer in enumerate(net.layers):
        _check_places(layer, image, first=number == 0, last=number == len(net.layers) - 1)
        channels = image[0] if len(image) == 3 else layer.inputs
        taken = working_memory(layer, channels)
        _need(
            layer,
            taken <= memory,
            f"one image takes {_bytes(taken)}, more than {_bytes(memory)}: if that is meant, load with memory=BYTES",
        )
        _check_tensors(layer, last=number == len(net.layers) - 1)
        kept += kept_memory(layer, channels)
        held += sum(getattr(layer, name).nbytes for name in TENSORS if getattr(layer, name) is not None)
        said = f"one image and the weights up to here take {_bytes(taken + kept)}, more than {_bytes(memory)} allows"
        _need(layer, taken + kept <= memory + UNFOLDED * held, said)
        image = (layer.outputs, *layer.pooled) if layer.kind == "conv2d" else (layer.outputs,)


def working_memory(layer: Layer, channels: int) -> int:
    """Bytes that one image takes in a layer: what is read with its border, patches, sums, bits, and pooled bits.

    Args:
        channels: C of what comes in; bits of a pixel's channels begin a new word.
    """
    pixels, words = layer.levels == "pixels", 8 * word_count(layer.outputs)
    each = channels if pixels else 8 * word_count(channels)
    border, row = 0, layer.inputs + 3 if pixels else each * -(-layer.inputs // channels)
    if layer.kind == "conv2d":
        border = each * math.prod(s + 2 * p for s, p in zip(layer.shape[1:], layer.padding, strict=True))
    total, size = border + math.prod(layer.size) * (row + 4 * layer.outputs + words), layer.size
    for pool in layer.pools:
        padded = math.prod(s + 2 * p for s, p in zip(size, pool.padding, strict=True))
        size = out_size(size, pool.kernel, pool.stride, pool.padding)
        total += 2 * words * (padded + math.prod(size))
    return total


def kept_memory(layer: Layer, channels: int) -> int:
    """Bytes that a layer's weights and thresholds take at most, laid out for a kernel.

    Rows of weights come in panels of 8 (words) or 16 (signs), twice while they are moved there.
    """
    if layer.levels == "pixels":
        weights = 2 * 16 * -(-layer.outputs // 16) * (layer.inputs + 3)
    else:
        weights = 2 * 8 * -(-layer.outputs // 8) * 8 * word_count(channels) * -(-layer.inputs // channels)
    if layer.kind == "linear" or layer.levels == "01":
        return weights + 4 * layer.outputs
    patterns = pattern_count((layer.shape[1], layer.shape[2]), layer.kernel, layer.stride, layer.padding)
    return weights + 4 * patterns * (layer.outputs + 2 * layer.kernel[0] * layer.kernel[1]) + 4 * math.prod(layer.size)


def _check_places(layer: Layer, image: tuple[int, ...], first: bool, last: bool) -> None:
    """Whether the layer can stand where it does, by its numbers alone."""
    _need(layer, layer.kind in ("linear", "conv2d"), f"kind {layer.kind!r} is not known")
    _need(layer, layer.levels in LEVELS and (layer.levels == "pixels") == first, f"cannot read {layer.levels!r} here")
    _need(layer, layer.outputs >= 1, f"{layer.outputs} outputs")
    windows = (layer.kernel, layer.stride, layer.padding)
    if layer.kind == "linear":
        flat = math.prod(image)
        fits = layer.shape == (flat,) and not layer.pools and windows == ((1, 1), (1, 1), (0, 0))
        _need(layer, fits, f"reads {layer.shape}, and {flat} values come in")
    else:
        _need(
            layer, len(image) == 3 and layer.shape == image and not last, f"reads {layer.shape}, and {image} comes in"
        )
        _need(layer, _is_window(*windows), "kernel, stride or padding")
        for pool in layer.pools:
            window = (pool.kernel, pool.stride, pool.padding)
            _need(layer, _is_window(*window), "pool's kernel, stride, padding")
            _need(layer, all(2 * p <= k for p, k in zip(pool.padding, pool.kernel, strict=True)), "pool's padding")
        _need(layer, min(*layer.size, *layer.pooled) >= 1, "its windows are larger than its input")
    _need(layer, 255 * layer.inputs + 2 < 1 << 31, f"{layer.inputs} inputs can exceed 32 bits")


def _check_tensors(layer: Layer, last: bool) -> None:
    """Whether shapes, types and values are those that the numbers ask for."""
    wanted: dict[str, tuple[tuple[int, ...], Any]] = {"weight": ((layer.outputs, word_count(layer.inputs)), np.uint64)}
    if last:
        wanted |= dict.fromkeys(("scale", "shift"), ((layer.outputs,), np.float64))
    else:
        wanted |= {"threshold": ((layer.patterns, layer.outputs), np.int32), "flip": ((layer.outputs,), np.uint8)}
    for name in TENSORS:
        array = getattr(layer, name)
        found = None if array is None else (array.shape, array.dtype)
        right = wanted.get(name)
        _need(layer, found == (right and (right[0], np.dtype(right[1]))), f"{name} is {found}, and should be {right}")
    tail = layer.inputs % WORD
    _need(layer, not tail or not (layer.weight[:, -1] >> np.uint64(tail)).any(), "bits behind the last weight")
    if layer.threshold is not None and layer.flip is not None:
        _need(layer, layer.flip.max() <= 1, "flip is neither 0 nor 1")
        least, most = int(layer.threshold.min()), int(layer.threshold.max())
        limit = layer.bound + 1  # one beyond the largest sum: never, or always
        _need(
            layer, -limit <= least and most <= limit, f"thresholds of {least} to {most}, and no sum exceeds {limit - 1}"
        )
    if layer.scale is not None and layer.shift is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            largest = np.abs(layer.scale) * layer.bound + np.abs(layer.shift)
        _need(layer, bool(np.isfinite(largest).all()), "scale or shift is not finite, or gives scores that are not")


def _is_window(kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> bool:
    return min(*kernel, *stride) >= 1 and min(padding) >= 0


def _need(part: Layer | PackedNet, right: bool, what: str) -> None:
    if not right:
        raise PackedError(f"layer {part.name!r}: {what}" if isinstance(part, Layer) else what)


def _bytes(count: float) -> str:
    return f"{count / (1 << 20):,.0f} MiB" if count >= 1 << 20 else f"{count:,.0f} bytes"
