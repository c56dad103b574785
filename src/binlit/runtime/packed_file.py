"""The file: one safetensors file, its tensors beside a JSON description in the metadata, and a checksum over both.

Nothing in it is code, and nothing of it is executed. What it may ask for stands in `binlit.runtime.bounds`.

Tensors of layer i (O outputs, K inputs of each):
    i.weight     uint64 (O, ceil(K / 64)): bit 1 is +1, bit 0 is -1. K runs over (kh, kw, C) in a convolution, and over
                 (H, W, C) in a linear layer after one; over (C, H, W) in a linear layer that reads pixels.
    i.threshold  int32 (P, O): P = 1, or one row for each pattern of taps outside of the image (pixels with padding).
    i.flip       uint8 (O,): the bit is sum >= threshold, or sum <= threshold where flip is 1.
    i.scale, i.shift  float64 (O,): in the last layer instead of these two; score = sum * scale + shift.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from binlit.runtime.bounds import MEMORY, check
from binlit.runtime.geometry import Pair
from binlit.runtime.net import TENSORS as TENSORS
from binlit.runtime.net import Layer as Layer
from binlit.runtime.net import PackedError as PackedError
from binlit.runtime.net import PackedNet as PackedNet
from binlit.runtime.net import Pool as Pool

FORMAT, VERSION = "binlit-packed", 1
LARGEST_FILE, LARGEST_HEADER = 1 << 30, 1 << 20  # bytes
LAYER = {"name", "kind", "levels", "shape", "outputs", "kernel", "stride", "padding", "pools"}


def save(net: PackedNet, path: str | Path) -> None:
    """Writes the file, whole or not at all; the same net gives the same bytes.

    Raises:
        PackedError: parts of the net do not fit each other.
        OSError: the file cannot be written.
    """
    check(net)
    tensors = {name: np.ascontiguousarray(array) for name, array in _tensors(net).items()}
    layers = [{k: v for k, v in asdict(layer).items() if k not in TENSORS} for layer in net.layers]
    content = {"input": {"shape": net.shape, "mean": net.mean, "std": net.std}, "layers": layers}
    metadata = {"format": FORMAT, "version": str(VERSION), "description": json.dumps(content)}
    metadata["sha256"] = _checksum(metadata, tensors)
    write_whole(Path(path), _in_order(to_bytes(tensors, metadata)))


def read(path: str | Path, memory: float = MEMORY) -> PackedNet:
    """The net in a file.

    Args:
        memory: bytes that one image may take in a layer; a net that takes more is refused.

    Raises:
        PackedError: there is no such file, it is none of these, is newer than this version, has changed, or describes a
            net that is none or takes too much memory.
    """
    remedy = "make it anew with python -m binlit.export checkpoint=PATH"
    try:
        _check_size(Path(path))
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except PackedError as error:
        raise PackedError(f"{path} {error}; {remedy}") from None
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        said = f"truncated, damaged or no packed net ({_short(error)})"
        raise PackedError(f"{path} cannot be read: {said}; {remedy}") from error
    if metadata.get("format") != FORMAT:
        said = f"has format {_short(metadata.get('format'))}, and a packed net has {FORMAT!r}"
        raise PackedError(f"{path} {said}; {remedy}")
    if metadata.get("version") != str(VERSION):
        said = f"has version {_short(metadata.get('version'))}, and this binlit reads {VERSION}"
        raise PackedError(f"{path} {said}: install a newer binlit, or {remedy}")
    if metadata.get("sha256") != _checksum(metadata, tensors):
        raise PackedError(f"{path} has changed since it was written (its checksum differs); {remedy}")
    try:
        net = _net(metadata["description"], tensors)
        check(net, memory)
        if strangers := tensors.keys() - _tensors(net).keys():
            raise ValueError(f"no layer has the tensor {_short(min(strangers))}")
    except PackedError as error:
        raise PackedError(f"{path}: {_short(error)}; {remedy}") from error
    except (ValueError, KeyError, RecursionError) as error:
        raise PackedError(f"{path} describes no net ({type(error).__name__}: {_short(error)}); {remedy}") from error
    return net


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under another name beside it, which then takes its place; a link stays, its target is written.

    Raises:
        OSError: the folder is not there, cannot be written, or is full; or there is something else than a file.
    """
    from binlit.files import whole  # which needs a system with file locks; reading does not

    try:
        with whole(path) as file:
            file.write(content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its header sorted: the library writes the metadata in another order each time."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _check_size(path: Path) -> None:
    """Whether it is a file of a size, and with a header of a size, that can be a packed net's."""
    if not path.is_file():
        raise PackedError("is no file")
    if (size := path.stat().st_size) > LARGEST_FILE:
        raise PackedError(f"has {size:,} bytes, and a packed net at most {LARGEST_FILE:,}")
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if LARGEST_HEADER < header <= size:
        raise PackedError(f"has a header of {header:,} bytes, and a packed net one of at most {LARGEST_HEADER:,}")


def _net(description: str, tensors: dict[str, NDArray]) -> PackedNet:
    """The net as described, with its tensors; numbers are whole where they must be, and names are known.

    Raises:
        ValueError, KeyError, RecursionError: it is not.
    """
    content = _object(json.loads(description, object_pairs_hook=_once, parse_constant=_no_number), {"input", "layers"})
    given = _object(content["input"], {"shape", "mean", "std"})
    entries = [_object(entry, LAYER) for entry in _list(content["layers"])]
    c, h, w = _whole(given["shape"], 3)
    layers = tuple(
        _layer(entry, {name: tensors.get(f"{i}.{name}") for name in TENSORS}) for i, entry in enumerate(entries)
    )
    return PackedNet((c, h, w), _real(given["mean"]), _real(given["std"]), layers)


def _layer(entry: dict[str, Any], held: dict[str, Any]) -> Layer:
    windows: dict[str, Any] = {name: _pair(entry[name]) for name in ("kernel", "stride", "padding")}
    words: dict[str, Any] = {name: _text(entry[name]) for name in ("name", "kind", "levels")}
    shape, outputs = _whole(entry["shape"]), _whole([entry["outputs"]])[0]
    pools = []
    for pool in _list(entry["pools"]):
        _object(pool, {"kernel", "stride", "padding", "before_norm"})
        if not isinstance(pool["before_norm"], bool):
            raise ValueError(f"before_norm is true or false, not {_short(pool['before_norm'])}")
        pools.append(Pool(_pair(pool["kernel"]), _pair(pool["stride"]), _pair(pool["padding"]), pool["before_norm"]))
    return Layer(**words, shape=shape, outputs=outputs, **windows, pools=tuple(pools), **held)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _object(value: Any, names: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != names:
        raise ValueError(f"{', '.join(sorted(names))} are needed, not {_short(value)}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"a list is needed, not {_short(value)}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError(f"a word is needed, not {_short(value)}")
    return value


def _whole(value: Any, count: int | None = None) -> tuple[int, ...]:
    """Whole numbers of up to 31 bits; bool, which Python counts among them, is none."""
    numbers = tuple(_list(value))
    right = all(type(number) is int and 0 <= number < 1 << 31 for number in numbers)
    if not right or len(numbers) not in ((1, 2, 3) if count is None else (count,)):
        raise ValueError(f"{count or 'up to 3'} whole numbers are needed, not {_short(value)}")
    return numbers


def _pair(value: Any) -> Pair:
    a, b = _whole(value, 2)
    return a, b


def _real(value: Any) -> float:
    if type(value) not in (int, float) or abs(value) > 1e30:
        raise ValueError(f"a number is needed, not {_short(value)}")
    return float(value)


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    return (text if len(text) <= 300 else f"{text[:300]}...").replace("\n", " ")


def _tensors(net: PackedNet) -> dict[str, NDArray]:
    """{name in the file: array} of all layers."""
    named = {f"{i}.{name}": getattr(layer, name) for i, layer in enumerate(net.layers) for name in TENSORS}
    return {name: array for name, array in named.items() if array is not None}


def _checksum(metadata: dict[str, str], tensors: dict[str, NDArray]) -> str:
    total = hashlib.sha256()
    for key in ("format", "version", "description"):
        total.update(f"{key}={metadata.get(key)}\n".encode())
    for name in sorted(tensors):
        array = tensors[name]
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return total.hexdigest()
