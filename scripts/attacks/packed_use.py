"""A packed file loaded and asked for scores in a process of its own, beside what the format's page says they are."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.running import Ended, fork
from attacks.verdict import refused, unhurt, untouched

Tensors = dict[str, NDArray]
LARGEST = 1 << 22  # values of one layer up to which the answer is compared
SCORES = "scores.npy"


def read(path: Path) -> tuple[dict[str, Any], Tensors]:
    """Description and tensors of a good file."""
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as file:
        return json.loads(file.metadata()["description"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def write(path: Path, description: Any, tensors: Tensors, **metadata: str) -> None:
    """The file with a checksum that is right. `description` may be a text already."""
    from safetensors.numpy import save_file

    text = description if isinstance(description, str) else json.dumps(description)
    known = {"format": "binlit-packed", "version": "1", "description": text} | metadata
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    total = hashlib.sha256()
    for key in ("format", "version", "description"):
        total.update(f"{key}={known[key]}\n".encode())
    for name in sorted(tensors):
        total.update(f"{name} {tensors[name].dtype.str} {tensors[name].shape}\n".encode())
        total.update(tensors[name].tobytes())
    save_file(tensors, path, metadata=known | {"sha256": total.hexdigest()})


def images_of(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)


def loaded(
    folder: Path, path: Path, cache_dir: Path, kernel: str = "auto", limit: float = 30, **environment: str
) -> Ended:
    """Scores of three images, kept in folder/scores.npy; a refusal ends with status 2 and its text."""

    def act() -> int:
        import binlit.runtime

        try:
            model = binlit.runtime.load(path, kernel)
            np.save(folder / SCORES, model.scores(images_of(model.net.shape)))
        except binlit.runtime.PackedError as error:
            print(error, file=sys.stderr)
            return 2
        return 0

    environment = {"BINLIT_CACHE_DIR": str(cache_dir)} | environment
    return fork(act, folder, f"load({path.name}, {kernel!r})", limit, environment).wait()


def normal(path: Path, cache_dir: Path, folder: Path) -> float:
    """KiB of memory that a good file takes, in this process's copies."""
    ended = loaded(folder, path, cache_dir)
    assert ended.status == 0, ended.err
    return ended.peak


def judged(folder: Path, path: Path, cache_dir: Path, usual: float, kernel: str) -> Iterator[str]:
    """Refused in a line that names the file, or the scores that the format's page gives."""
    ended = loaded(folder, path, cache_dir, kernel)
    yield from unhurt(ended, usual)
    yield from untouched(folder)
    if ended.status != 0:
        yield from refused(ended, path.name, lines=1)
        return
    if (expected := by_the_page(path)) is None:
        yield "read, and it describes no net"
    elif len(expected) and not np.allclose(np.load(folder / SCORES), expected, rtol=1e-9, atol=1e-9, equal_nan=True):
        yield "other scores than the format's page gives"


def by_the_page(path: Path) -> NDArray[np.float64] | None:
    """The scores by the page's own words, in 64 bits; empty where that takes too long, None where it is no net."""
    try:
        description, tensors = read(path)
        shape = tuple(map(_whole, description["input"]["shape"]))
        if np.prod(np.array(shape, float)) > LARGEST / 10:
            return np.zeros(0)
        x: Any = images_of(shape).astype(np.int64)
        for number, layer in enumerate(description["layers"]):
            own = {name.partition(".")[2]: array for name, array in tensors.items() if name.startswith(f"{number}.")}
            if (x := _layer(x, layer, own)) is None:
                return np.zeros(0)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError, OverflowError):
        return None
    return x if x.ndim == 2 else None


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(value)
    return int(value)


def _layer(x: NDArray, layer: dict[str, Any], own: Tensors) -> Any:
    inputs, outputs = int(np.prod(x.shape[1:])), _whole(layer["outputs"])
    kernel, stride, padding = (tuple(map(_whole, layer[name])) for name in ("kernel", "stride", "padding"))
    values = x if layer["levels"] in ("pixels", "01") else 2 * x - 1
    if layer["kind"] == "linear":
        flat = values if layer["levels"] == "pixels" or x.ndim == 2 else values.transpose(0, 2, 3, 1)
        signs = _signs(own["weight"], inputs, outputs)
        sums, rows = flat.reshape(len(x), inputs) @ signs.T, np.zeros(1, np.int64)
        size = (1, 1)
    else:
        channels = x.shape[1]
        size = tuple((s + 2 * p - k) // t + 1 for s, k, t, p in zip(x.shape[2:], kernel, stride, padding, strict=True))
        if (
            min(size) < 1
            or max(padding) > 100
            or np.prod(size) * kernel[0] * kernel[1] * max(channels, outputs) > LARGEST
        ):
            return None
        signs = _signs(own["weight"], channels * kernel[0] * kernel[1], outputs)
        border = ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)
        padded, seen = np.pad(values, border), np.pad(np.ones_like(values[:1, :1]), border)
        taps = [
            (_window(padded, a, b, size, stride), _window(seen, a, b, size, stride)) for a, b in np.ndindex(*kernel)
        ]
        columns = np.stack([tap.transpose(0, 2, 3, 1) for tap, _ in taps], -2).reshape(len(x), *size, -1)
        sums = columns @ signs.T  # (N, H, W, O)
        rows = _patterns(np.stack([tap[0, 0] for _, tap in taps], -1), kernel)
        if len(own.get("threshold", ())) == 1:
            rows = np.zeros_like(rows)
    if "threshold" not in own:
        with np.errstate(all="ignore"):
            return sums * own["scale"] + own["shift"]
    threshold = own["threshold"].astype(np.int64)[rows]  # (H, W, O), or (1, O)
    bits = np.where(own["flip"].astype(bool), sums <= threshold, sums >= threshold)
    if layer["kind"] == "linear":
        return bits.astype(np.int64)
    bits = bits.transpose(0, 3, 1, 2)
    for pool in layer["pools"]:
        bits = _pool(bits, pool, own["flip"].astype(bool))
        if bits is None:
            return None
    return bits.astype(np.int64)


def _signs(words: NDArray[np.uint64], inputs: int, outputs: int) -> NDArray[np.int64]:
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=-1, bitorder="little")[:, :inputs]
    return 2 * bits.reshape(outputs, inputs).astype(np.int64) - 1


def _window(x: NDArray, a: int, b: int, size: tuple[int, ...], stride: tuple[int, ...]) -> NDArray:
    return x[:, :, a : a + stride[0] * (size[0] - 1) + 1 : stride[0], b : b + stride[1] * (size[1] - 1) + 1 : stride[1]]


def _patterns(seen: NDArray, kernel: tuple[int, ...]) -> NDArray[np.int64]:
    """The row of thresholds of each position: patterns along rows times patterns along columns, as they first come."""
    high, wide = seen.shape[:2]
    grid = seen.reshape(high, wide, *kernel)
    along = [_first_seen(grid.any((1, 3))), _first_seen(grid.any((0, 2)))]
    return along[0][:, None] * (along[1].max() + 1) + along[1]


def _first_seen(rows: Any) -> NDArray[np.int64]:
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(row.tobytes(), len(known)) for row in rows])


def _pool(bits: NDArray, pool: dict[str, Any], falls: NDArray) -> Any:
    kernel, stride, padding = (tuple(map(_whole, pool[name])) for name in ("kernel", "stride", "padding"))
    size = tuple((s + 2 * p - k) // t + 1 for s, k, t, p in zip(bits.shape[2:], kernel, stride, padding, strict=True))
    if min(size) < 1 or np.prod(size) * kernel[0] * kernel[1] > LARGEST or max(padding) > 100:
        return None
    border = ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)
    falling = falls[:, None, None] & bool(pool["before_norm"])
    padded = np.where(falling, np.pad(bits, border, constant_values=True), np.pad(bits, border))
    parts = np.stack([_window(padded, a, b, size, stride) for a, b in np.ndindex(*kernel)])
    return np.where(falling, parts.all(0), parts.any(0))


@cache
def once(path: Path, cache_dir: Path, folder: Path) -> float:
    return normal(path, cache_dir, folder)
