"""The file: read back as written, without torch; and every kind of damage refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from binlit.runtime import PackedError, PackedModel, bits, load, packed_file
from binlit.runtime.packed_file import Layer, PackedNet, Pool


def net() -> PackedNet:
    """Convolution 3x3 with padding and pooling on 1x6x6 pixels, linear 5, linear 3."""
    draw = np.random.default_rng(0)

    def weight(outputs: int, inputs: int) -> Any:
        return bits.pack(draw.integers(0, 2, (outputs, inputs)))

    first = Layer(
        "conv", "conv2d", "pixels", (1, 6, 6), 4, (3, 3), (1, 1), (1, 1), (Pool((2, 2), (2, 2), (0, 0), True),),
        weight(4, 9), draw.integers(-99, 99, (9, 4), np.int32), np.array([0, 1, 0, 1], np.uint8),
    )  # fmt: skip
    second = Layer("fc", "linear", "pm1", (36,), 5, weight=weight(5, 36), threshold=np.zeros((1, 5), np.int32))
    second = replace(second, flip=np.zeros(5, np.uint8))
    last = Layer("out", "linear", "01", (5,), 3, weight=weight(3, 5), scale=draw.random(3), shift=draw.random(3))
    return PackedNet((1, 6, 6), 0.1307, 0.3081, (first, second, last))


@pytest.fixture
def path(tmp_path):
    packed_file.save(net(), tmp_path / "net.binlit")
    return tmp_path / "net.binlit"


def test_read_back_as_written(path):
    found, expected = packed_file.read(path), net()
    assert (found.shape, found.mean, found.std) == (expected.shape, expected.mean, expected.std)
    for a, b in zip(found.layers, expected.layers, strict=True):
        for each in fields(Layer):
            x, y = getattr(a, each.name), getattr(b, each.name)
            assert np.array_equal(x, y) if isinstance(y, np.ndarray) else x == y
    images = np.random.default_rng(1).integers(0, 256, (5, 1, 6, 6), np.uint8)
    assert np.array_equal(load(path, "numpy").scores(images), PackedModel(expected, "numpy").scores(images))
    assert [each.name for each in path.parent.iterdir()] == ["net.binlit"]


def test_inference_imports_no_torch(path):
    code = f"""
import sys, numpy as np
from binlit.runtime import load
model = load({str(path)!r})
assert model.predict(np.zeros((2, 1, 6, 6), np.uint8)).shape == (2,)
found = {{name.split('.')[0] for name in sys.modules}}
assert not found & {{"torch", "pytorch_lightning", "lightning", "hydra", "omegaconf", "pydantic"}}, found
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_byte_counts(path):
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    places = {0, 7, 8, 9, len(whole) - 1, *draw.integers(0, len(whole), 300).tolist()}
    for place in sorted(places):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(changed)
        with pytest.raises(PackedError):
            packed_file.read(path)


def test_truncated(path):
    whole = path.read_bytes()
    for length in (0, 5, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(PackedError, match=r"net.binlit cannot be read: truncated.*python -m binlit.export"):
            packed_file.read(path)


def test_no_file_and_foreign_files(tmp_path):
    with pytest.raises(PackedError, match=r"missing\.binlit is no file"):
        load(tmp_path / "missing.binlit")
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"PK\x03\x04" + b"\0" * 500)
    with pytest.raises(PackedError, match="no packed net"):
        load(foreign)
    save_file({"a": np.zeros(3)}, foreign)
    with pytest.raises(PackedError, match="has format None, and a packed net has 'binlit-packed'"):
        load(foreign)
    save_file({"a": np.zeros(3)}, foreign, metadata={"format": "pt"})
    with pytest.raises(PackedError, match="has format 'pt'"):
        load(foreign)


def rewritten(path: Path, change: Callable[[Any, Any, Any], Any] | None = None, **changes: str) -> None:
    """The file with other metadata and the checksum that fits it."""
    content = packed_file.read(path)
    tensors = load_file(path)
    layers = [
        {f.name: getattr(x, f.name) for f in fields(Layer) if f.name not in packed_file.TENSORS} for x in content.layers
    ]
    layers = json.loads(json.dumps(layers, default=vars))
    shape = {"shape": content.shape, "mean": content.mean, "std": content.std}
    described = {"input": shape, "layers": layers}
    if change is not None:
        change(layers, tensors, shape)
    metadata = {"format": "binlit-packed", "version": "1", "description": json.dumps(described)} | changes
    metadata["sha256"] = packed_file._checksum(metadata, tensors)
    save_file(tensors, path, metadata=metadata)


def test_a_newer_version_is_refused(path):
    rewritten(path)
    packed_file.read(path)  # nothing changed
    rewritten(path, version="2")
    with pytest.raises(PackedError, match="has version '2', and this binlit reads 1: install a newer binlit"):
        packed_file.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, t, i: n[0].update(outputs=5), "layer 'conv': weight is"),
        (lambda n, t, i: n[0].update(shape=[1, 7, 6]), r"layer 'conv': reads \(1, 7, 6\), and \(1, 6, 6\) comes in"),
        (lambda n, t, i: n[0].update(kind="conv3d"), "kind 'conv3d' is not known"),
        (lambda n, t, i: n[0].update(stride=[0, 1]), "layer 'conv': kernel, stride or padding"),
        (lambda n, t, i: n[0].update(kernel=[9, 9]), "its windows are larger than its input"),
        (lambda n, t, i: n[0]["pools"][0].update(padding=[2, 2]), "pool's padding"),
        (lambda n, t, i: n[1].update(levels="pixels"), "layer 'fc': cannot read 'pixels' here"),
        (lambda n, t, i: n[1].update(shape=[37]), "layer 'fc': reads"),
        (lambda n, t, i: n.pop(), "layer 'fc': threshold is"),
        (lambda n, t, i: n.clear(), "a net needs a layer"),
        (lambda n, t, i: n[1].pop("levels"), "describes no net"),
        (lambda n, t, i: n[1].update(stride=3), "describes no net"),
        (lambda n, t, i: i.update(std=0), "std > 0"),
        (lambda n, t, i: t.update({"1.flip": np.zeros(4, np.uint8)}), "layer 'fc': flip is"),
        (lambda n, t, i: t.update({"1.threshold": np.zeros((1, 5))}), "layer 'fc': threshold is"),
        (lambda n, t, i: t.update({"2.weight": t["2.weight"] | np.uint64(1 << 63)}), "bits behind the last weight"),
    ],
)
def test_parts_that_do_not_fit_are_refused(path, change, message):
    rewritten(path, change)
    with pytest.raises(PackedError, match=message):
        packed_file.read(path)


def test_images_that_do_not_fit_are_refused(path):
    model = load(path, "numpy")
    wrong: list[Any] = [np.zeros((2, 1, 6, 6)), np.zeros((2, 1, 6, 7), np.uint8), np.zeros((1, 6, 6), np.uint8)]
    for images in wrong:
        with pytest.raises(PackedError, match=r"this net reads uint8 pixels of 0 to 255 in the shape \(N, 1, 6, 6\)"):
            model.scores(images)
    assert model.scores(np.zeros((0, 1, 6, 6), np.uint8)).shape == (0, 3)


def test_names_of_kernels(path):
    with pytest.raises(ValueError, match="kernel='fast' is not known; choose auto, native, numpy"):
        load(path, "fast")
    with pytest.raises(ValueError, match="first_layer='bits' is not known; choose auto, int8, planes"):
        load(path, first_layer="bits")
