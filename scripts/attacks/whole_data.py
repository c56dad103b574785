"""Data sets of the true size and format, made by a program: the files of MNIST, CIFAR-10 and Omniglot."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import io
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

TRAINED, TESTED = 60_000, 10_000
RAW = Path("MNIST/raw")


def idx(shape: tuple[int, ...], content: bytes = b"", kind: int = 8) -> bytes:
    """Dimensions are written as they are, in 32 bits, whatever they are."""
    header = bytes([0, 0, kind, len(shape)]) + b"".join((size & 0xFFFFFFFF).to_bytes(4, "big") for size in shape)
    return header + content


def mnist(root: Path) -> Path:
    return _once(root / "mnist", _make_mnist)


def cifar(root: Path) -> Path:
    return _once(root / "cifar", _make_cifar)


def omniglot(root: Path) -> Path:
    return _once(root / "omniglot", _make_omniglot)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _once(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, made by whichever process comes first."""
    with _alone(folder.with_name(f"{folder.name}.lock")):
        if not folder.exists():
            making = folder.with_name(f"{folder.name}.making")
            make(making)
            making.rename(folder)
    return folder


def _make_mnist(root: Path) -> None:
    draw, folder = np.random.default_rng(0), root / RAW
    folder.mkdir(parents=True)
    for part, count in (("train", TRAINED), ("t10k", TESTED)):
        labels = draw.integers(0, 10, count, np.uint8)
        pixels = np.repeat(labels[:, None] * 25, 784, axis=1) + draw.integers(0, 6, (count, 784), np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx((count, 28, 28), pixels.tobytes()))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((count,), labels.tobytes()))


def _make_cifar(root: Path) -> None:
    """Six times the same file of 10,000 images, in both versions."""
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    labels = np.arange(10_000, dtype=np.uint8) % 10
    pixels = np.repeat(labels[:, None] * 25, 3072, axis=1)
    binary, python = root / "cifar-10-batches-bin", root / "cifar-10-batches-py"
    for folder in (binary, python):
        folder.mkdir(parents=True)
    (binary / f"{names[0]}.bin").write_bytes(np.hstack([labels[:, None], pixels]).tobytes())
    content = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"x", b"filenames": [b"x"] * 10_000}
    (python / names[0]).write_bytes(pickle.dumps(content, protocol=2))
    for name in names[1:]:
        (binary / f"{name}.bin").hardlink_to(binary / f"{names[0]}.bin")
        (python / name).hardlink_to(python / names[0])


def _make_omniglot(root: Path) -> None:
    """The background characters: 964 of them, 20 drawings each, out of 40 pictures."""
    from binlit.dataset.omniglot import ALPHABETS

    draw, folder = np.random.default_rng(0), root / "omniglot-py"
    folder.mkdir(parents=True)
    pictures = [png(draw.random((105, 105)) < 0.95) for _ in range(40)]
    with zipfile.ZipFile(folder / "images_background.zip", "w") as archive:
        for alphabet, count in ALPHABETS["images_background"].items():
            for number in range(1, count + 1):
                for drawing in range(1, 21):
                    name = f"images_background/{alphabet}/character{number:02d}/{number:04d}_{drawing:02d}.png"
                    archive.writestr(name, pictures[draw.integers(40)])


def png(bits: np.ndarray) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(bits).save(out, "PNG")
    return out.getvalue()


def linked(source: Path, target: Path) -> None:
    """The folder with its files as hard links: whoever attacks one replaces it."""
    for path in source.rglob("*"):
        if path.is_file():
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.hardlink_to(path)


def gz(content: bytes, level: int = 1) -> bytes:
    return gzip.compress(content, level)


def gz_bomb(header: bytes, size: int) -> bytes:
    """A packed file of `size` zeros behind the header, made a piece at a time."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as file:
        file.write(header)
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return out.getvalue()
