"""The file: one safetensors file, its tensors beside a JSON description in the metadata, and a checksum over both.

Nothing in it is code, and nothing of it is executed.

Tensors of layer i (O outputs, K inputs of each):
    i.weight     uint64 (O, ceil(K / 64)): bit 1 is +1, bit 0 is -1. K runs over (kh, kw, C) in a convolution, and over
                 (H, W, C) in a linear layer behind one; over (C, H, W) in a linear layer that reads pixels.
    i.threshold  int32 (P, O): P = 1, or one row for each pattern of taps outside of the image (pixels with padding).
    i.flip       uint8 (O,): the bit is sum >= threshold, or sum <= threshold where flip is 1.
    i.scale, i.shift  float64 (O,): in the last layer instead of these two; score = sum * scale + shift.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from binlit.packed.bits import word_count
from binlit.packed.geometry import Pair, out_size, tap_patterns

FORMAT, VERSION = "binlit-packed", 1
LEVELS = ("pixels", "pm1", "01")


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
        weight, threshold, flip, scale, shift: see the module's text; those that it does not have are None.
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
    def size(self) -> Pair:
        """(Hout, Wout) of a convolution before pooling; (1, 1) of a linear layer."""
        if self.kind == "linear":
            return 1, 1
        return out_size((self.shape[1], self.shape[2]), self.kernel, self.stride, self.padding)

    @property
    def pooled(self) -> Pair:
        """(Hout, Wout) behind the pools."""
        size = self.size
        for pool in self.pools:
            size = out_size(size, pool.kernel, pool.stride, pool.padding)
        return size

    @property
    def patterns(self) -> int:
        """P: rows of the thresholds."""
        if self.kind == "linear" or self.levels != "pixels":
            return 1
        return len(tap_patterns((self.shape[1], self.shape[2]), self.kernel, self.stride, self.padding)[0])


TENSORS = ("weight", "threshold", "flip", "scale", "shift")


@dataclass(frozen=True)
class PackedNet:
    """Layers in order, and the images that the first one reads: x = (pixel / 255 - mean) / std."""

    shape: tuple[int, int, int]
    mean: float
    std: float
    layers: tuple[Layer, ...]


def save(net: PackedNet, path: str | Path) -> None:
    """Writes the file, whole or not at all.

    Raises:
        PackedError: parts of the net do not fit each other.
    """
    _check(net)
    tensors = {
        f"{i}.{name}": np.ascontiguousarray(getattr(layer, name))
        for i, layer in enumerate(net.layers)
        for name in TENSORS
        if getattr(layer, name) is not None
    }
    layers = [{k: v for k, v in asdict(layer).items() if k not in TENSORS} for layer in net.layers]
    content = {"input": {"shape": net.shape, "mean": net.mean, "std": net.std}, "layers": layers}
    description = json.dumps(content)
    metadata = {"format": FORMAT, "version": str(VERSION), "description": description}
    metadata["sha256"] = _checksum(metadata, tensors)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    save_file(tensors, temporary, metadata=metadata)
    temporary.replace(path)


def read(path: str | Path) -> PackedNet:
    """The net in a file.

    Raises:
        PackedError: there is no such file, it is none of these, is newer than this version, or has changed.
    """
    remedy = "make it anew with python -m binlit.export checkpoint=PATH"
    if not Path(path).is_file():
        raise PackedError(f"{path} is no file; {remedy}")
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise PackedError(f"{path} cannot be read: truncated, damaged or no packed net ({error}); {remedy}") from error
    if metadata.get("format") != FORMAT:
        raise PackedError(f"{path} has format {metadata.get('format')!r}, and a packed net has {FORMAT!r}; {remedy}")
    version = metadata.get("version", "")
    if not version.isdecimal() or int(version) != VERSION:
        raise PackedError(
            f"{path} has version {version!r}, and this binlit reads {VERSION}: install a newer binlit, or {remedy}"
        )
    if metadata.get("sha256") != _checksum(metadata, tensors):
        raise PackedError(f"{path} has changed since it was written (its checksum differs); {remedy}")
    try:
        net = _net(json.loads(metadata["description"]), tensors)
        _check(net)
    except PackedError as error:
        raise PackedError(f"{path}: {error}; {remedy}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError) as error:
        message = f"{path} describes no net ({type(error).__name__}: {error}); {remedy}"
        raise PackedError(message) from error
    return net


def _net(content: dict[str, Any], tensors: dict[str, NDArray]) -> PackedNet:
    layers = []
    for i, entry in enumerate(content["layers"]):
        pools = tuple(
            Pool(_pair(p["kernel"]), _pair(p["stride"]), _pair(p["padding"]), bool(p["before_norm"]))
            for p in entry["pools"]
        )
        window: dict[str, Any] = {name: _pair(entry[name]) for name in ("kernel", "stride", "padding")}
        held: dict[str, Any] = {name: tensors.get(f"{i}.{name}") for name in TENSORS}
        plain: dict[str, Any] = {name: entry[name] for name in ("name", "kind", "levels", "outputs")}
        layers.append(Layer(**plain, shape=tuple(map(int, entry["shape"])), **window, pools=pools, **held))
    c, h, w = map(int, content["input"]["shape"])
    return PackedNet((c, h, w), float(content["input"]["mean"]), float(content["input"]["std"]), tuple(layers))


def _pair(values: Any) -> Pair:
    a, b = values
    return int(a), int(b)


def _checksum(metadata: dict[str, str], tensors: dict[str, NDArray]) -> str:
    total = hashlib.sha256()
    for key in ("format", "version", "description"):
        total.update(f"{key}={metadata.get(key)}\n".encode())
    for name in sorted(tensors):
        array = tensors[name]
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _check(net: PackedNet) -> None:
    """PackedError where parts do not fit each other."""
    if not net.layers or min(net.shape) < 1 or not (np.isfinite(net.mean) and 0 < net.std < np.inf):
        raise PackedError(f"a net needs a layer, an image and std > 0: {len(net.layers)}, {net.shape}, {net.std}")
    flat, image = int(np.prod(net.shape)), net.shape
    for i, layer in enumerate(net.layers):
        last = i == len(net.layers) - 1

        def need(right: bool, what: str, name: str = layer.name) -> None:
            if not right:
                raise PackedError(f"layer {name!r}: {what}")

        need(layer.kind in ("linear", "conv2d"), f"kind {layer.kind!r} is not known")
        need(layer.levels in LEVELS and (layer.levels == "pixels") == (i == 0), f"cannot read {layer.levels!r} here")
        need(layer.outputs >= 1, f"{layer.outputs} outputs")
        if layer.kind == "linear":
            need(layer.shape == (flat,) and not layer.pools, f"reads {layer.shape}, and {flat} values come in")
        else:
            need(layer.shape == image and not last, f"reads {layer.shape}, and {image} comes in")
            need(min(*layer.kernel, *layer.stride) >= 1 and min(layer.padding) >= 0, "kernel, stride or padding")
            for pool in layer.pools:
                need(min(*pool.kernel, *pool.stride) >= 1 and min(pool.padding) >= 0, "pool's kernel, stride, padding")
                need(all(2 * p <= k for p, k in zip(pool.padding, pool.kernel, strict=True)), "pool's padding")
            need(min(*layer.size, *layer.pooled) >= 1, "its windows are larger than its input")
        need(255 * layer.inputs < 1 << 31, f"{layer.inputs} inputs can exceed 32 bits")
        wanted: dict[str, tuple[tuple[int, ...], Any]] = {
            "weight": ((layer.outputs, word_count(layer.inputs)), np.uint64)
        }
        if last:
            wanted |= dict.fromkeys(("scale", "shift"), ((layer.outputs,), np.float64))
        else:
            wanted |= {"threshold": ((layer.patterns, layer.outputs), np.int32), "flip": ((layer.outputs,), np.uint8)}
        for name in TENSORS:
            array = getattr(layer, name)
            found = None if array is None else (array.shape, array.dtype)
            right = wanted.get(name)
            need(found == (right and (right[0], np.dtype(right[1]))), f"{name} is {found}, and should be {right}")
        tail = layer.inputs % 64
        need(not tail or not (layer.weight[:, -1] >> np.uint64(tail)).any(), "bits behind the last weight")
        image = (layer.outputs, *layer.pooled)
        flat = int(np.prod(image))
