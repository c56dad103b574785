"""Kind 3: packed files with a checksum that is right and a description or tensors that are not."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from attacks import packed_use
from attacks.ground import Ground
from attacks.packed_use import Tensors
from attacks.running import Try

TITLE, LEAN = "crafted packed files with a valid checksum", True
FIELDS, PAYLOADS, SHAPES = 170, 60, 70
INT_MAX = 2**31 - 1
VALUES: list[Any] = [
    0, -1, 1, 2, 3, 7, 64, 255, 1000, 20000, 10**6, INT_MAX, 2**31, 2**32, 2**63, 2**64, 10**30, -(2**31), 1.5, 4.0,
    -0.0,
    1e-320, 1e308, float("inf"), float("-inf"), float("nan"), "4", "", "pixels", "01", "pm1", "linear", "conv2d", None,
    True, False, [], {}, [1], [1, 1], [0, 0], [3, 20000], [20000, 20000],
    [1, 2, 3], [[1]], "x" * 100_000, [1] * 100_000,
]  # fmt: skip
Change = Callable[[dict[str, Any], Tensors, random.Random], Any]


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for name in ("dense", "conv"):
        yield _try(ground, f"{name} as it is", name, lambda description, tensors, chance: None, 0)
    for number in range(FIELDS):
        name = ("conv", "conv", "dense")[number % 3]
        yield _try(ground, f"field-{number} of {name}", name, _field, chance.random())
    for number in range(PAYLOADS):
        name = ("conv", "dense")[number % 2]
        yield _try(ground, f"payload-{number} of {name}", name, _payload, chance.random())
    for number in range(SHAPES):
        yield _try(ground, f"consistent-{number}", "conv", _consistent, chance.random())
    for name, change in WHOLE.items():
        yield _try(ground, name, "conv", change, 0)


def _try(ground: Ground, name: str, of: str, change: Change, seed: float) -> Try:
    def act(folder: Path) -> Iterator[str]:
        good, kernels, path = ground.folder / f"{of}.binlit", ground.folder / "kernels", folder / "net.binlit"
        usual = packed_use.once(good, kernels, ground.folder / "normal")
        description, tensors = packed_use.read(good)
        chance = random.Random(seed)
        changed = change(description, tensors, chance)
        if isinstance(changed, bytes):
            path.write_bytes(changed)
        else:
            metadata = changed if isinstance(changed, dict) else {}
            packed_use.write(path, metadata.pop("description", description), tensors, **metadata)
        yield from packed_use.judged(folder, path, kernels, usual, chance.choice(["auto", "numpy"]))

    return Try(name, act)


def _field(description: dict[str, Any], tensors: Tensors, chance: random.Random) -> None:
    """Another value somewhere in the description, or none."""
    for _ in range(chance.choice([1, 1, 2])):
        places = list(_places(description))
        holder, key = chance.choice(places)
        what = chance.random()
        if what < 0.1:
            del holder[key]
        elif what < 0.2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif what < 0.3:
            holder[key] = copy.deepcopy(chance.choice(places)[0])
        else:
            holder[key] = copy.deepcopy(chance.choice(VALUES))


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from _places(node[key])


def _payload(description: dict[str, Any], tensors: Tensors, chance: random.Random) -> None:
    """Other values, types or shapes of a tensor, or one tensor less or more."""
    name = chance.choice(sorted(tensors))
    array, what = tensors[name].copy(), chance.random()
    draw = np.random.default_rng(chance.randrange(1 << 32))
    if what < 0.1:
        del tensors[name]
        return
    if what < 0.2:
        tensors[f"{name}.more"] = array
    elif what < 0.3:
        array = array.astype(chance.choice([np.float32, np.int64, np.uint8, np.bool_, np.float16]))
    elif what < 0.4:
        array = chance.choice([array[:0], array[:1], array.reshape(-1), array[..., None], np.zeros((), array.dtype)])
    elif array.dtype.kind == "f":
        array[draw.integers(len(array))] = chance.choice([np.nan, np.inf, -np.inf, 1e308, -1e308, 0, 1e-320])
    elif name.endswith("threshold"):
        edge = np.iinfo(array.dtype)
        array.flat[draw.integers(0, array.size, 1 + array.size // 4)] = chance.choice(
            [edge.max, edge.min, edge.max - 1, edge.min + 1, 0]
        )
    else:
        bits = array.view(np.uint8).reshape(-1)
        bits[draw.integers(0, bits.size, 3)] ^= np.uint8(1 << chance.randrange(8))
    tensors[name] = array


def _consistent(description: dict[str, Any], tensors: Tensors, chance: random.Random) -> None:
    """A first convolution at the edge of what is possible,
    and all behind it made to fit: shapes alone betray nothing."""
    tensors.clear()
    draw = np.random.default_rng(chance.randrange(1 << 32))
    side, kernel = chance.choice([1, 8, 28, 20000]), chance.choice([1, 3, 5, 28])
    padding = chance.choice([0, 1, 2, 100, 1000, 20000, 10**6])
    stride = chance.choice([1, 2, 1000, 20000, max(1, padding)])
    outputs = chance.choice([1, 4, 64])
    size = (side + 2 * padding - kernel) // stride + 1
    pools = []
    while size > 16 and len(pools) < 6:
        width = chance.choice([2, 16, -(-size // 2), size])
        pad = chance.choice([0, 0, width // 2])
        pools.append({"kernel": [width] * 2, "stride": [width] * 2, "padding": [pad] * 2, "before_norm": bool(pad)})
        size = (size + 2 * pad - width) // width + 1
    size = max(1, min(size, 64))
    first = {
        "name": "first", "kind": "conv2d", "levels": "pixels", "shape": [1, side, side], "outputs": outputs,
        "kernel": [kernel] * 2, "stride": [stride] * 2, "padding": [padding] * 2, "pools": pools,
    }  # fmt: skip
    last = {
        "name": "last", "kind": "linear", "levels": "pm1", "shape": [outputs * size * size], "outputs": 3,
        "kernel": [1, 1], "stride": [1, 1], "padding": [0, 0], "pools": [],
    }  # fmt: skip
    description |= {"input": {"shape": [1, side, side], "mean": 0.3, "std": 0.3}, "layers": [first, last]}
    along = {_seen(place * stride - padding, kernel, side) for place in _edges(side, kernel, padding, stride)}
    edge = chance.choice([100, INT_MAX])
    tensors |= {
        "0.weight": _bits(draw, outputs, kernel * kernel),
        "0.threshold": draw.integers(-edge, edge, (len(along) ** 2, outputs), np.int32),
        "0.flip": draw.integers(0, 2, outputs, np.uint8),
        "1.weight": _bits(draw, 3, outputs * size * size),
        "1.scale": np.ones(3),
        "1.shift": np.zeros(3),
    }


def _edges(side: int, kernel: int, padding: int, stride: int) -> list[int]:
    """Positions of the window at which the taps outside of the image can change."""
    count = (side + 2 * padding - kernel) // stride + 1
    near = {(edge - tap + padding) // stride for edge in (0, side) for tap in range(-kernel, kernel + 1)}
    return sorted({p for q in near for p in (q, q + 1) if 0 <= p < count} | ({0, count - 1} if count > 0 else set()))


def _seen(start: int, kernel: int, side: int) -> tuple[bool, ...]:
    return tuple(0 <= start + tap < side for tap in range(kernel))


def _bits(draw: Any, rows: int, columns: int) -> Any:
    words = draw.integers(0, 1 << 63, (rows, -(-columns // 64)), np.uint64)
    if columns % 64:
        words[:, -1] &= np.uint64((1 << columns % 64) - 1)
    return words


def _deep(levels: int, opening: str = "[", closing: str = "]") -> Change:
    def change(description: dict[str, Any], tensors: Tensors, chance: random.Random) -> dict[str, str]:
        text = json.dumps(description)
        return {"description": text[:-1] + ', "more": ' + opening * levels + closing * levels + "}"}

    return change


def _said(text: str) -> Change:
    return lambda description, tensors, chance: {"description": text}


def _meta(**metadata: str) -> Change:
    return lambda description, tensors, chance: dict(metadata)


def _header(length: int) -> Change:
    return lambda description, tensors, chance: length.to_bytes(8, "little") + b"{}"


WHOLE: dict[str, Change] = {
    "deep lists": _deep(200_000),
    "deep objects": _deep(100_000, '{"a":[', "]}"),
    "nothing described": _said(""),
    "null": _said("null"),
    "a list": _said("[]"),
    "a number of a million digits": _said("1" * 1_000_000),
    "half a surrogate": _said('{"input": "\\ud800"}'),
    "no layers": _said('{"input": {"shape": [1, 28, 28], "mean": 0, "std": 1}, "layers": []}'),
    "layers a text": _said('{"input": {"shape": [1, 28, 28], "mean": 0, "std": 1}, "layers": "conv"}'),
    "another format": _meta(format="binlit"),
    "version 2": _meta(version="2"),
    "version of a million digits": _meta(version="1" * 1_000_000),
    "version of other digits": _meta(version="²"),
    "header of 2**63 bytes": _header(2**63 - 1),
    "header of 100 MB": _header(100_000_000),
}
