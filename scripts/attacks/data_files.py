"""Kind 11: data files that lie. One line that names the file, or the figures of the whole set."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from attacks import whole_data
from attacks.ground import Ground
from attacks.hostile_config import Evil
from attacks.running import Ended, Try, run
from attacks.verdict import record_of, refused, same_run, unhurt, untouched
from attacks.whole_data import RAW, gz, gz_bomb, idx

TITLE = "data files"
GIGABYTE = 1 << 30
TRAIN = (
    "model.hidden=[8]", "binary.layer=1", "logger=none", "trainer.enable_progress_bar=false", "threads=1",
    "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "dataset.download=false", "data_dir=data", "hydra.run.dir=run",
)  # fmt: skip
SETS = {
    "mnist": ("dataset=mnist", "model=mlp"),
    "cifar": ("dataset=cifar10", "model=mlp", "model.inputs=3072"),
    "omniglot": ("dataset=omniglot", "model=mlp"),
}
Change = Callable[[Path], str]  # attacks the data folder and gives the name of the file that it attacked


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for kind, changes in (("mnist", MNIST), ("cifar", CIFAR), ("omniglot", OMNIGLOT)):
        for name, change in changes.items():
            yield Try(
                f"{kind} {name}", lambda folder, kind=kind, change=change: _attacked(ground, folder, kind, change)
            )
    for name, make in SVHN.items():
        yield Try(f"svhn {name}", lambda folder, make=make: _svhn(folder, make))


def _trained(folder: Path, kind: str) -> Ended:
    return run(folder, "train", *SETS[kind], *TRAIN, limit=120)


@cache
def _whole(folder: Path, kind: str) -> tuple[dict[str, Any], float]:
    """Record and memory of a run on the whole set."""
    folder.mkdir(parents=True, exist_ok=True)
    whole_data.linked(getattr(whole_data, kind)(folder.parent / "data"), folder / "data")
    ended = _trained(folder, kind)
    assert ended.status == 0, ended.err
    return record_of(folder / "run"), ended.peak


def _attacked(ground: Ground, folder: Path, kind: str, change: Change) -> Iterator[str]:
    record, usual = _whole(ground.folder / f"{kind}-{os.getpid()}", kind)
    whole_data.linked(getattr(whole_data, kind)(ground.folder / "data"), folder / "data")
    name = change(folder / "data")
    ended = _trained(folder, kind)
    yield from unhurt(ended, usual)
    yield from untouched(folder)
    if ended.status != 0:
        yield from refused(ended, name, lines=2)  # behind a warning that the set is another one
    elif "is no result on" not in ended.err:  # whole files of another set may be trained on
        yield from same_run(record_of(folder / "run"), record)


def _svhn(folder: Path, make: Callable[[], bytes]) -> Iterator[str]:
    (folder / "data" / "SVHN").mkdir(parents=True)
    for part in ("train", "test"):
        (folder / "data" / "SVHN" / f"{part}_32x32.mat").write_bytes(make())
    words = ["dataset=svhn", "model=mlp", "model.inputs=3072", *TRAIN]
    ended = run(folder, "train", *words)
    yield from unhurt(ended, 1.5 * GIGABYTE / 1024)
    yield from untouched(folder)
    yield from refused(ended, "32x32.mat", lines=1)


def _idx(part: str, content: bytes | Callable[[bytes], bytes], ending: str = "") -> Change:
    """Another file in the place of `part`, such as train-images."""
    name = f"{part}-{'idx3' if part.endswith('images') else 'idx1'}-ubyte"

    def change(data: Path) -> str:
        path = data / RAW / name
        old = path.read_bytes()
        path.unlink()
        path.with_name(name + ending).write_bytes(content if isinstance(content, bytes) else content(old))
        return name

    return change


def _special(part: str, make: Callable[[Path], object] | None) -> Change:
    name = f"{part}-{'idx3' if part.endswith('images') else 'idx1'}-ubyte"

    def change(data: Path) -> str:
        (data / RAW / name).unlink()
        if make is not None:
            make(data / RAW / name)
        return RAW.name  # as long as the file is none, the folder is named

    return change


def _swapped(one: str, other: str) -> Change:
    def change(data: Path) -> str:
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte") if one in ("train", "t10k") else ("",):
            first, second = (data / RAW / (f"{part}-{kind}" if kind else part) for part in (one, other))
            kept = first.with_name("kept")
            first.rename(kept)
            second.rename(first)
            kept.rename(second)
        return one

    return change


def _small(count: int) -> Change:
    """A whole set of a few images."""

    def change(data: Path) -> str:
        for part in ("train", "t10k"):
            for path, content in (
                (f"{part}-images-idx3-ubyte", idx((count, 28, 28), bytes(784 * count))),
                (f"{part}-labels-idx1-ubyte", idx((count,), bytes(count))),
            ):
                (data / RAW / path).unlink()
                (data / RAW / path).write_bytes(content)
        return "train"

    return change


def _patched(at: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content[:at] + value + content[at + len(value) :]


IMAGES, LABELS, TEST = "train-images", "train-labels", "t10k-images"
MNIST: dict[str, Change] = {
    "dimensions that overflow to the right size": _idx(IMAGES, lambda old: idx((60_000, 1 << 31, 1 << 33), old[16:])),
    "dimensions that overflow to 0": _idx(IMAGES, idx((1 << 31, 1 << 31, 4))),
    "negative count": _idx(IMAGES, lambda old: idx((-60_000, 28, 28), old[16:])),
    "two negative dimensions": _idx(IMAGES, lambda old: idx((60_000, -28, -28), old[16:])),
    "three negative dimensions": _idx(IMAGES, lambda old: idx((-60_000, -28, -28), old[16:])),
    "count of 0": _idx(IMAGES, idx((0, 28, 28))),
    "largest count": _idx(IMAGES, lambda old: idx((2**31 - 1, 28, 28), old[16:])),
    "count of 0 in both": lambda data: (_idx(LABELS, idx((0,)))(data), _idx(IMAGES, idx((0, 28, 28)))(data))[1][:5],
    "shape 28 x 56": _idx(IMAGES, lambda old: idx((30_000, 28, 56), old[16:])),
    "four dimensions": _idx(IMAGES, lambda old: idx((60_000, 28, 28, 1), old[16:])),
    "255 dimensions": _idx(IMAGES, lambda old: idx((1,) * 255, old[16:])),
    "no dimension": _idx(IMAGES, idx((), b"\1")),
    "type float": _idx(IMAGES, lambda old: idx((60_000, 28, 28), old[16:], kind=13)),
    "type signed byte": _idx(IMAGES, lambda old: idx((60_000, 28, 28), old[16:], kind=9)),
    "cut in the header": _idx(IMAGES, lambda old: old[:9]),
    "cut in the pixels": _idx(IMAGES, lambda old: old[:-1]),
    "bytes behind": _idx(IMAGES, lambda old: old + b"\0"),
    "empty": _idx(IMAGES, b""),
    "text": _idx(LABELS, b"<html>404 not found</html>"),
    "labels above 9": _idx(LABELS, _patched(100, b"\x0a")),
    "labels of 255": _idx(LABELS, lambda old: old[:8] + b"\xff" * 60_000),
    "labels with two dimensions": _idx(LABELS, lambda old: idx((60_000, 1), old[8:])),
    "a label less": _idx(LABELS, lambda old: idx((59_999,), old[8:-1])),
    "train and test swapped": _swapped("train", "t10k"),
    "images and labels swapped": _swapped("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test images in the place of training images": _idx(TEST, lambda old: idx((60_000, 28, 28), bytes(60_000 * 784))),
    "3 images": _small(3),
    "gz cut": _idx(IMAGES, lambda old: gz(old)[:-1000], ".gz"),
    "gz flipped": _idx(IMAGES, lambda old: _patched(5000, b"\xa5\x5a")(gz(old)), ".gz"),
    "gz whole": _idx(IMAGES, lambda old: gz(old), ".gz"),
    "gz that is none": _idx(IMAGES, lambda old: old, ".gz"),
    "gz of 2 GB": _idx(IMAGES, lambda old: gz_bomb(old[:16], 2 * GIGABYTE), ".gz"),
    "gz of 2 GB of labels": _idx(LABELS, lambda old: gz_bomb(old[:8], 2 * GIGABYTE), ".gz"),
    "gz of 2 GB, as it says": _idx(IMAGES, lambda old: gz_bomb(idx((2739137, 28, 28)), 2 * GIGABYTE), ".gz"),
    "gz of many members": _idx(IMAGES, lambda old: gz(b"") * 100_000 + gz(old), ".gz"),
    "a pipe": _special(IMAGES, os.mkfifo),
    "a folder": _special(IMAGES, lambda path: path.mkdir()),
    "a link to itself": _special(LABELS, lambda path: path.symlink_to(path.name)),
    "a missing file": _special(LABELS, None),
    "as it is": lambda data: "",
}


def _batch(folder: str, content: bytes | Callable[[bytes], bytes], keep: str = "") -> Change:
    """Another second batch, in the binary (.bin) or the Python version alone."""
    name = "data_batch_2" + (".bin" if folder.endswith("bin") else "")

    def change(data: Path) -> str:
        other = data / ("cifar-10-batches-py" if folder.endswith("bin") else "cifar-10-batches-bin")
        for path in other.iterdir():
            path.unlink()
        path = data / folder / name
        old = path.read_bytes()
        path.unlink()
        path.write_bytes(content if isinstance(content, bytes) else content(old))
        return name

    return change


def _pickled(change: Callable[[dict[bytes, Any]], Any]) -> Change:
    return _batch(
        "cifar-10-batches-py", lambda old: pickle.dumps(change(pickle.loads(old, encoding="bytes")), protocol=2)
    )


class Vast:
    """An array of 100 GB, in a few bytes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.ndarray, ((100_000_000_000,), np.dtype(np.uint8))


BIN = "cifar-10-batches-bin"
CIFAR: dict[str, Change] = {
    "binary as it is": _batch(BIN, lambda old: old),
    "pickles as they are": _batch("cifar-10-batches-py", lambda old: old),
    "binary cut": _batch(BIN, lambda old: old[:-1]),
    "binary of 3 images": _batch(BIN, lambda old: old[: 3 * 3073]),
    "binary empty": _batch(BIN, b""),
    "binary with label 255": _batch(BIN, _patched(3073, b"\xff")),
    "pickle that runs code": _batch("cifar-10-batches-py", pickle.dumps(Evil(), protocol=2)),
    "pickle with code within": _pickled(lambda content: content | {b"batch_label": Evil()}),
    "pickle of 100 GB": _pickled(lambda content: content | {b"data": Vast()}),
    "pickle cut": _batch("cifar-10-batches-py", lambda old: old[: len(old) // 2]),
    "pickle of floats": _pickled(lambda content: content | {b"data": np.zeros((10_000, 3072), np.float32)}),
    "pickle of objects": _pickled(lambda content: content | {b"data": np.array([[None] * 2] * 2, object)}),
    "pickle without labels": _pickled(lambda content: {b"data": content[b"data"]}),
    "pickle with a label -1": _pickled(lambda content: content | {b"labels": [-1] * 10_000}),
    "pickle of 3 images": _pickled(lambda content: {b"data": content[b"data"][:3], b"labels": content[b"labels"][:3]}),
    "pickle of deep lists": _batch("cifar-10-batches-py", b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."),
    "pickle of repeated doubling": _batch("cifar-10-batches-py", b"\x80\x02]q\x00" + b"(h\x00h\x00tq\x00" * 60 + b"."),
}


def _zipped(change: Callable[[Path], object]) -> Change:
    """An attack on a copy of Omniglot's zip."""

    def changed(data: Path) -> str:
        path = data / "omniglot-py" / "images_background.zip"
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        change(path)
        return path.name

    return changed


def _with(name: str, content: bytes) -> Change:
    def more(path: Path) -> None:
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)

    return _zipped(more)


FIRST = "images_background/Alphabet_of_the_Magi/character01/0000_00.png"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def vast_png(side: int) -> bytes:
    """A PNG of side x side black points, packed to a few hundred kilobytes."""
    packer, packed = zlib.compressobj(9), []
    for _ in range(side):
        packed.append(packer.compress(bytes(1 + side // 8)))
    packed.append(packer.flush())
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"".join(packed)) + _chunk(b"IEND", b"")


def _big_entry(path: Path) -> None:
    """An entry of 1.5 GB of zeros."""
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(FIRST, "w", force_zip64=True) as file,
    ):
        for _ in range(1536):
            file.write(bytes(1 << 20))


OMNIGLOT: dict[str, Change] = {
    "as it is": lambda data: "",
    "a PNG of 60,000 x 60,000": _with(FIRST, vast_png(60_000)),
    "a PNG of 13,000 x 13,000": _with(FIRST, vast_png(13_000)),
    "an entry of 1.5 GB": _zipped(_big_entry),
    "an entry that is no picture": _with(FIRST, b"GIF"),
    "a path out of the folder": _with("../../../evil.png", b""),
    "a resource fork": _with("__MACOSX/images_background/Greek/character01/._0394_01.png", b"\0\5\26\7"),
    "cut": _zipped(lambda path: os.truncate(path, path.stat().st_size - 1000)),
    "a byte of a picture": _zipped(lambda path: path.write_bytes(_patched(2000, b"\xa5\x5a")(path.read_bytes()))),
    "a text": _zipped(lambda path: path.write_text("<html>404</html>")),
}


def _mat(**content: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        from scipy.io import savemat

        out = io.BytesIO()
        savemat(out, content, do_compression=True)
        return out.getvalue()

    return make


SVHN: dict[str, Callable[[], bytes]] = {
    "a text": lambda: b"not found",
    "empty": lambda: b"",
    "cut": lambda: _mat(X=np.zeros((32, 32, 3, 100), np.uint8), y=np.ones((100, 1), np.uint8))()[:200],
    "3 images": _mat(X=np.zeros((32, 32, 3, 3), np.uint8), y=np.ones((3, 1), np.uint8)),
    "2 GB of zeros": _mat(X=np.broadcast_to(np.uint8(0), (32, 32, 3, 1)), y=np.zeros((400_000_00, 1), np.uint8)),
    "objects": _mat(X=np.array([[1, "a"]], object), y=np.ones((3, 1), np.uint8)),
}
