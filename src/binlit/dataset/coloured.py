"""CIFAR-10 and SVHN, from their files on disk or torchvision's download: colour images of 32x32."""

from __future__ import annotations

import codecs
import io
import pickle
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from binlit.dataset.errors import DataError
from binlit.dataset.image_files import StoredImages
from binlit.dataset.images import Images

SIDE, VALUES = 32, 3 * 32 * 32
BATCH = 10_000  # images in a file of CIFAR-10
COMPRESSED = 15  # the kind of an element in a .mat file (MAT-File Format, level 5)
MAT_LARGEST = 300_000_000  # bytes unpacked; SVHN's training part has 225 million
DAMAGES = (ValueError, LookupError, TypeError, OSError)  # what a damaged file of any kind may bring about


class ColourImages(StoredImages):
    """Base of both. `channels` and `image_size` are what they are; the config names them so that nets can follow.

    Raises:
        ValueError: another number of channels or size is given.
    """

    mean, std = 0.5, 0.5

    def __init__(self, *args: Any, channels: int = 3, image_size: int = SIDE, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if (channels, image_size) != (3, SIDE):
            raise ValueError(f"{self.title} has 3 channels of {SIDE}x{SIDE}, not {channels} of {image_size}")


class Cifar10(ColourImages):
    """CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 10 kinds of things, scaled to [-1, 1].

    Reads the binary version (cifar-10-batches-bin, six files of records of 1 + 3,072 bytes) and the Python version
    (cifar-10-batches-py, six pickles; only arrays and plain containers are let through).

    Args: as in `StoredImages`.
    """

    title = "CIFAR10"
    folders: ClassVar[tuple[str, ...]] = ("cifar-10-batches-py", "cifar-10-batches-bin")
    files = "data_batch_1 to data_batch_5 and test_batch (.bin for the binary version)"
    makes: ClassVar[tuple[str, ...]] = ("cifar-10-python.tar.gz",)
    counts = ((5000,) * 10, (1000,) * 10)
    parts_of = (tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",))

    def holds(self, place: Path) -> bool:
        return all(self._file(place, name) for part in self.parts_of for name in part)

    def read(self, place: Path) -> tuple[Images, Images]:
        train, test = (self._part(place, names) for names in self.parts_of)
        return train, test

    def _file(self, place: Path, name: str) -> Path | None:
        return next((path for path in (place / name, place / f"{name}.bin") if path.is_file()), None)

    def _part(self, place: Path, names: tuple[str, ...]) -> Images:
        paths = [path for name in names if (path := self._file(place, name))]
        read = [self._batch(path) for path in paths]
        sizes = [len(labels) for _, labels in read]
        for path, size in zip(paths, sizes, strict=True):
            if size != max(sizes):
                raise DataError(f"{path} holds {size:,} images, others {max(sizes):,}: put the original in its place")
        return Images(torch.cat([images for images, _ in read]), torch.cat([labels for _, labels in read]))

    def _batch(self, path: Path) -> tuple[Tensor, Tensor]:
        pixels, labels = (_binary_batch if path.suffix == ".bin" else _pickled_batch)(path)
        _check_labels(path, labels, 0, self.classes - 1)
        return torch.from_numpy(pixels.reshape(-1, 3, SIDE, SIDE).copy()), torch.from_numpy(labels.astype(np.int64))

    def fetch(self, root: Path) -> None:
        import torchvision.datasets

        torchvision.datasets.CIFAR10(str(root), download=True)


class Svhn(ColourImages):
    """SVHN (Netzer et al. 2011): 73,257 training and 26,032 test images of house numbers' digits, scaled to [-1, 1].

    The cropped digits (format 2, .mat files); class 10 in the files is the digit 0. The extra part is not read.

    Args: as in `StoredImages`.
    """

    title = "SVHN"
    folders: ClassVar[tuple[str, ...]] = ("SVHN", "svhn", ".")
    files = "train_32x32.mat and test_32x32.mat"
    counts = (
        (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
        (1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595),
    )

    def holds(self, place: Path) -> bool:
        return all((place / f"{part}_32x32.mat").is_file() for part in ("train", "test"))

    def read(self, place: Path) -> tuple[Images, Images]:
        train, test = (self._part(place / f"{part}_32x32.mat") for part in ("train", "test"))
        return train, test

    def _part(self, path: Path) -> Images:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

        try:
            _check_unpacked(path, MAT_LARGEST)
            content = loadmat(path, variable_names=["X", "y"])
            pixels, labels = content["X"], content["y"].reshape(-1)
        except (*DAMAGES, MatReadError, zlib.error, NotImplementedError, MemoryError) as error:
            raise DataError(f"{path} is damaged or no SVHN file ({error}): put a whole copy in its place") from error
        if pixels.dtype != np.uint8 or pixels.shape != (SIDE, SIDE, 3, len(labels)):
            raise DataError(
                f"{path} holds {pixels.dtype} of {pixels.shape} and {len(labels)} labels, not images of 32 x 32 x 3: "
                "put the original in its place"
            )
        _check_labels(path, labels, 1, self.classes)
        labels = labels % 10  # class 10 is the digit 0
        images = np.ascontiguousarray(pixels.transpose(3, 2, 0, 1))
        return Images(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))

    def fetch(self, root: Path) -> None:
        import torchvision.datasets

        for part in ("train", "test"):
            torchvision.datasets.SVHN(str(root / self.folders[0]), part, download=True)


def _check_unpacked(path: Path, limit: int) -> None:
    """Unpacks what is compressed in a .mat file, keeping none of it; raises ValueError where it comes to too much."""
    if path.stat().st_size > limit:
        raise ValueError("it is too large")
    with path.open("rb") as file:
        order = "<" if file.read(128)[126:] == b"IM" else ">"  # the header's end says how numbers are written
        while tag := file.read(8):
            kind, size = np.frombuffer(tag, f"{order}u4").tolist()
            left, unpacker = size, zlib.decompressobj()
            while left > 0 and kind == COMPRESSED and (block := file.read(min(left, 1 << 16))):
                left -= len(block)
                while block:
                    limit -= len(unpacker.decompress(block, 1 << 20))
                    block = unpacker.unconsumed_tail
                    if limit < 0:
                        raise ValueError("it unpacks to more than any SVHN file holds")
            file.seek(left, 1)


def _check_labels(path: Path, labels: np.ndarray, first: int, last: int) -> None:
    if labels.dtype.kind not in "iu":
        raise DataError(f"{path} has labels of type {labels.dtype}, not integers: put the original in its place")
    if len(labels) == 0 or labels.min() < first or labels.max() > last:
        found = f"from {labels.min()} to {labels.max()}" if len(labels) else "none"
        raise DataError(f"{path} has labels {found}, expected {first} to {last}: put the original in its place")


def _binary_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    size = path.stat().st_size
    if size == 0 or size % (1 + VALUES) or size > BATCH * (1 + VALUES):
        raise DataError(
            f"{path} holds {size} bytes, not a multiple of {1 + VALUES} (label and image) up to {BATCH} of them: put a "
            "whole copy in its place"
        )
    raw = np.fromfile(path, np.uint8)
    records = raw.reshape(-1, 1 + VALUES)
    return records[:, 1:], records[:, 0]


def _pickled_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        if path.stat().st_size > 2 * BATCH * (1 + VALUES):
            raise ValueError("it is too large")
        content = _Arrays(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        pixels, labels = content[b"data"], content[b"labels"]
        if isinstance(labels, list) and not all(isinstance(label, int) for label in labels):
            raise ValueError("its labels are no integers")  # lists within lists may unfold without end
        labels = np.asarray(labels)
        good = pixels.dtype == np.uint8 and pixels.shape == (len(labels), VALUES)
    except (*DAMAGES, pickle.UnpicklingError, EOFError, AttributeError, MemoryError) as error:
        raise DataError(f"{path} is damaged or no CIFAR-10 batch ({error}): put a whole copy in its place") from error
    if not good:
        raise DataError(
            f"{path} holds {pixels.dtype} of {pixels.shape} for {len(labels)} labels: put the original back"
        )
    return pixels, labels


class _Arrays(pickle.Unpickler):
    """Lets numpy arrays and plain containers through, and nothing that could run code or make an array of any size."""

    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: np.empty(0, np.uint8),  # filled by what follows it
        ("numpy._core.multiarray", "_reconstruct"): lambda *_: np.empty(0, np.uint8),
        ("numpy", "ndarray"): None,  # an argument of the above
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): codecs.encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR-10 batch needs")
        return self.allowed[module, name]
