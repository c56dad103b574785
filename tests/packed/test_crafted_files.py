"""Packed files whose checksum is right and whose content is not: refused in a line, or read as docs/packed.md says."""

from __future__ import annotations

import copy
import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch.nn import functional

from binlit.runtime import PackedError, bits, load, native, packed_file
from binlit.runtime.bounds import MEMORY
from binlit.runtime.geometry import tap_patterns

INT_MAX = 2**31 - 1
try:
    NATIVE = bool(native.library())
except native.NativeError:
    NATIVE = False
Description = dict[str, Any]
Tensors = dict[str, NDArray]
Change = Callable[[Description, Tensors], Any]


def content() -> tuple[Description, Tensors]:
    """Two convolutions with padding and pooling on 1x8x8 pixels, then linear 3."""
    draw = np.random.default_rng(0)

    def weight(outputs: int, inputs: int) -> NDArray:
        return bits.pack(draw.integers(0, 2, (outputs, inputs)))

    def layer(name: str, kind: str, levels: str, shape: list[int], outputs: int, **window: Any) -> dict[str, Any]:
        place = {"kernel": [1, 1], "stride": [1, 1], "padding": [0, 0], "pools": []} | window
        return {"name": name, "kind": kind, "levels": levels, "shape": shape, "outputs": outputs} | place

    pool = {"kernel": [2, 2], "stride": [2, 2], "padding": [1, 1], "before_norm": True}
    window = {"kernel": [3, 3], "padding": [1, 1]}
    layers = [
        layer("first", "conv2d", "pixels", [1, 8, 8], 4, **window, pools=[pool]),
        layer("second", "conv2d", "pm1", [4, 5, 5], 5, **window, stride=[2, 2]),
        layer("last", "linear", "01", [45], 3),
    ]
    tensors = {
        "0.weight": weight(4, 9), "0.threshold": draw.integers(-300, 300, (9, 4), np.int32),
        "0.flip": np.array([0, 1, 0, 1], np.uint8),
        "1.weight": weight(5, 36), "1.threshold": draw.integers(-9, 9, (1, 5), np.int32),
        "1.flip": np.array([1, 0, 0, 1, 0], np.uint8),
        "2.weight": weight(3, 45), "2.scale": draw.random(3), "2.shift": draw.random(3),
    }  # fmt: skip
    return {"input": {"shape": [1, 8, 8], "mean": 0.1, "std": 0.3}, "layers": layers}, tensors


def written(path: Path, description: Description | str, tensors: Tensors) -> Path:
    text = description if isinstance(description, str) else json.dumps(description)
    metadata = {"format": "binlit-packed", "version": "1", "description": text}
    save_file(tensors, path, metadata=metadata | {"sha256": packed_file._checksum(metadata, tensors)})
    return path


def scores_by_the_page(description: Description, tensors: Tensors, images: NDArray) -> NDArray:
    """Convolutions of real numbers, in float64."""
    x = torch.from_numpy(images).double()
    for i, layer in enumerate(description["layers"]):
        kernel, stride, padding = windows = [tuple(layer[name]) for name in ("kernel", "stride", "padding")]
        x = 2 * x - 1 if layer["levels"] == "pm1" else x
        signs = bits.signs(tensors[f"{i}.weight"], int(np.prod(layer["shape"][:1])) * kernel[0] * kernel[1])
        if layer["kind"] == "linear":
            flat = x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x
            return (flat @ torch.from_numpy(signs).double().T).numpy() * tensors[f"{i}.scale"] + tensors[f"{i}.shift"]
        weights = torch.from_numpy(signs).double().reshape(len(signs), *kernel, -1).permute(0, 3, 1, 2)
        sums = functional.conv2d(x, weights, stride=stride, padding=padding)
        threshold = torch.from_numpy(tensors[f"{i}.threshold"]).double()
        of = tap_patterns(*[layer["shape"][1:], *windows])[1] if len(threshold) > 1 else [0]
        least = threshold[of].T.reshape(-1, *(sums.shape[2:] if len(threshold) > 1 else (1, 1)))
        falls = torch.from_numpy(tensors[f"{i}.flip"]).bool()[:, None, None]
        x = torch.where(falls, sums <= least, sums >= least).double()
        for pool in layer["pools"]:
            window = [pool[name] for name in ("kernel", "stride", "padding")]
            turned = falls & pool["before_norm"]
            x = torch.where(turned, -functional.max_pool2d(-x, *window), functional.max_pool2d(x, *window))
    raise AssertionError("a net ends in a linear layer")


def refused_or_right(path: Path, description: Description, tensors: Tensors, **how: str) -> bool:
    """Whether it was refused; in one line, and within the memory that is stated, as is what runs."""
    refusal, scores, images = "", np.zeros(0), np.zeros(0)
    tracemalloc.start()
    try:
        model = load(path, **({"kernel": "numpy"} | how))  # type: ignore[arg-type]
        images = np.random.default_rng(1).integers(0, 256, (3, *model.net.shape), np.uint8)
        scores = model.scores(images)
    except PackedError as error:
        refusal = str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * MEMORY, f"{peak / (1 << 20):.0f} MiB"
    if refusal:
        assert path.name in refusal
        assert len(refusal.splitlines()) == 1
        assert len(refusal) < 1500
        return True
    np.testing.assert_allclose(scores, scores_by_the_page(description, tensors, images), atol=1e-9)
    return False


def test_what_is_not_changed_is_read_and_right(tmp_path):
    assert not refused_or_right(written(tmp_path / "net", *content()), *content())


VALUES: list[Any] = [
    0, -1, 1, 2, 3, 255, 1000, 20000, 10**6, INT_MAX, 2**32, 2**63, 10**30, 1.0, 1.5, float("inf"), float("nan"), "1",
    "pm1", "01", "linear", "conv2d", None, True, False, [], {}, [1, 1], [0, 0], [3, 20000], [20000, 20000], [1, 2, 3],
    [[1]], "x" * 10_000, [1] * 10_000,
]  # fmt: skip


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from _places(node[key])


def test_forty_values_in_forty_places(tmp_path):
    chance, refused = random.Random(0), 0
    for number in range(40):
        description, tensors = content()
        holder, key = chance.choice(list(_places(description)))
        holder[key] = copy.deepcopy(chance.choice(VALUES))
        refused += refused_or_right(written(tmp_path / f"net-{number}", description, tensors), description, tensors)
    assert 20 < refused < 40


def _first(**values: Any) -> Change:
    return lambda description, tensors: description["layers"][0].update(values)


def _pool(**values: Any) -> Change:
    return lambda description, tensors: description["layers"][0]["pools"][0].update(values)


def _tensor(name: str, index: Any, value: Any) -> Change:
    def change(description: Description, tensors: Tensors) -> None:
        tensors[name][index] = value

    return change


def _text(edit: Callable[[str], str]) -> Change:
    return lambda description, tensors: edit(json.dumps(description))


def _alone(side: int, padding: int, stride: int = 1, outputs: int = 64, kernel: int = 1) -> Change:
    """One convolution at the edge of what is possible, and a linear layer that fits behind it."""

    def change(description: Description, tensors: Tensors) -> None:
        size = (side + 2 * padding - kernel) // stride + 1
        first, _, last = description["layers"]
        pool = {"stride": [1, 1], "padding": [0, 0], "before_norm": False}
        pools = [pool | {"kernel": window} for window in ([size, 1], [1, size])]
        first |= {"shape": [1, side, side], "outputs": outputs, "kernel": [kernel] * 2, "stride": [stride] * 2}
        first |= {"padding": [padding] * 2, "pools": pools}
        description |= {"input": {"shape": [1, side, side], "mean": 0.0, "std": 1.0}, "layers": [first, last]}
        last["shape"] = [outputs]
        places: Any = [(number, number) for number in (side, kernel, stride, padding)]
        rows = len(tap_patterns(*places)[0]) if size < 1e4 else 1
        scale, shift = tensors["2.scale"], tensors["2.shift"]
        tensors.clear()
        tensors |= {
            "0.weight": np.zeros((outputs, bits.word_count(kernel**2)), np.uint64),
            "0.threshold": np.zeros((rows, outputs), np.int32), "0.flip": np.zeros(outputs, np.uint8),
            "1.weight": np.zeros((3, bits.word_count(outputs)), np.uint64), "1.scale": scale, "1.shift": shift,
        }  # fmt: skip

    return change


DEEP = "[" * 100_000 + "]" * 100_000
CRAFTED: dict[str, tuple[Change, str]] = {
    "padding": (_first(padding=[20000, 20000]), "one image takes .* MiB, more than 24 MiB"),
    "padding, and all fits": (_alone(1, 20000), "one image takes .* MiB, more than 24 MiB"),
    "padding below the limit, times outputs": (_alone(1, 400), "one image takes"),
    "pixels": (_alone(20000, 0), "an image takes 381 MiB, more than 24 MiB"),
    "a pool's padding": (_pool(kernel=[2000, 2000], padding=[1000, 1000]), "one image takes"),
    "a pool's stride": (_pool(stride=[0, 2]), "pool's kernel, stride, padding"),
    "a kernel": (_first(kernel=[20000, 20000], padding=[10000, 10000]), "inputs can exceed 32 bits"),
    "an infinite size": (_first(outputs=float("inf")), "Infinity is no number"),
    "a large real size": (_text(lambda text: text.replace('"outputs": 4', '"outputs": 1e999')), "whole numbers"),
    "a real size": (_first(outputs=4.0), r"whole numbers are needed, not \[4.0\]"),
    "a truth for a size": (_first(stride=[True, True]), "whole numbers"),
    "a negative padding": (_first(padding=[-1, 1]), "whole numbers"),
    "a size of 30 digits": (_first(shape=[1, 10**30, 8]), "whole numbers"),
    "a size of 10,000 digits": (_text(lambda text: text.replace("8, 8", "8, " + "8" * 10_000)), "describes no net"),
    "no standard deviation": (lambda d, t: d["input"].update(std=float("nan")), "NaN is no number"),
    "text for a truth": (_pool(before_norm="no"), "before_norm is true or false, not 'no'"),
    "deep lists": (lambda d, t: DEEP, "describes no net .RecursionError"),
    "deep in a layer": (lambda d, t: json.dumps(d).replace('"first"', DEEP), "describes no net .RecursionError"),
    "a name twice": (_text(lambda text: text.replace('"levels"', '"outputs": 4, "levels"', 1)), "a name stands twice"),
    "a name too many": (_first(groups=2), "kernel, kind, .* are needed"),
    "a long name": (_first(name="x" * 100_000), "a word is needed, not 'xxx"),
    "a name that clears the screen": (_first(name="\x1b[2J", outputs=0), r"layer '\\x1b\[2J'"),
    "a window of a linear layer": (lambda d, t: d["layers"][2].update(stride=[2, 2]), "layer 'last': reads"),
    "a convolution of a vector": (lambda d, t: d["layers"][2].update(kind="conv2d"), "layer 'last': reads"),
    "many layers": (lambda d, t: d.update(layers=d["layers"] * 400), "a net needs a layer .at most 1000"),
    "a threshold of INT_MAX": (_tensor("0.threshold", (0, 1), INT_MAX), "and no sum exceeds 2295"),
    "a threshold of INT_MIN": (_tensor("1.threshold", (0, 0), -INT_MAX - 1), "and no sum exceeds 36"),
    "a flip of 2": (_tensor("0.flip", 1, 2), "flip is neither 0 nor 1"),
    "a scale that is no number": (_tensor("2.scale", 0, np.nan), "scale or shift is not finite"),
    "a scale beyond all scores": (_tensor("2.scale", 0, 1e308), "gives scores that are not"),
    "a tensor too many": (lambda d, t: t.update({"3.weight": t["2.weight"]}), "no layer has the tensor '3.weight'"),
    "a tensor of no layer": (lambda d, t: t.update(more=t["2.weight"]), "no layer has the tensor 'more'"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CRAFTED.values(), ids=CRAFTED)
def test_each_field_has_its_bounds(tmp_path, change, message):
    description, tensors = content()
    changed = change(description, tensors)
    path = written(tmp_path / "net", changed if isinstance(changed, str) else description, tensors)
    with pytest.raises(PackedError, match=message):
        load(path, "numpy")
    assert refused_or_right(path, description, tensors)


@pytest.mark.parametrize("change", [_alone(8, 120), _alone(100, 0), _alone(300, 0, 1, 8, 3), _alone(3, 500, 9, 1, 28)])
def test_what_stays_below_takes_no_more(tmp_path, change):
    description, tensors = content()
    change(description, tensors)
    path = written(tmp_path / "net", description, tensors)
    ways = [{"kernel": "numpy"}] + [
        {"kernel": "native", "first_layer": first} for first in ("int8", "planes") if NATIVE
    ]
    for how in ways:
        assert not refused_or_right(path, description, tensors, **how)


def test_a_larger_net_is_read_where_memory_is_allowed(tmp_path):
    description, tensors = content()
    _alone(8, 400, outputs=16)(description, tensors)
    path = written(tmp_path / "net", description, tensors)
    with pytest.raises(PackedError, match="if that is meant, load with memory=BYTES"):
        load(path, "numpy")
    assert load(path, "numpy", memory=1 << 28).net.layers[0].padding == (400, 400)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = written(tmp_path / "net", *content())
    with path.open("ab") as file:
        file.truncate(1 << 40)  # a hole
    with pytest.raises(PackedError, match="has 1,099,511,627,776 bytes, and a packed net at most 1,073,741,824"):
        load(path)
    path.write_bytes((1 << 21).to_bytes(8, "little") + b"{" + b" " * (1 << 21))
    with pytest.raises(PackedError, match="has a header of 2,097,152 bytes"):
        load(path)
