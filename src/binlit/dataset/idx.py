"""Reading MNIST's idx files, packed or not, whole or not at all.

Format: a big-endian header (0, 0, type 8 = uint8, number of dimensions, each dimension as int32), then the bytes.
Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from binlit.dataset.errors import DataError

LARGEST = 60_000 * 28 * 28  # bytes: MNIST's training images


def read_idx(path: Path) -> Tensor:
    """The file's content as a uint8 tensor of the shape that its header gives. The file is only read.

    No more is read or unpacked than the header announces, and that is no more than the largest such file holds.

    Raises:
        DataError: the file is truncated, has bytes too many, is too large, or is no idx file of uint8.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:3] != b"\x00\x00\x08" or not 1 <= head[3] <= 3:
                raise DataError(
                    f"{path} is not an idx file of bytes (it begins with {head!r}): put the original in its place"
                )
            raw = file.read(4 * head[3])
            shape = np.frombuffer(raw[: len(raw) // 4 * 4], ">i4").tolist()
            size = math.prod(shape)
            if min(shape, default=0) < 0 or size > LARGEST:
                raise DataError(
                    f"{path} announces {' x '.join(map(str, shape))} bytes, which no such file holds: put the original "
                    "in its place"
                )
            content = file.read(size + 1) if len(shape) == head[3] else b""
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}): put a whole copy in its place") from error
    if len(shape) < head[3] or len(content) != size:
        start = 4 + len(raw)
        more = "or more " if len(content) > size else ""
        raise DataError(
            f"{path} holds {start + len(content)} {more}bytes, but its header announces {start + size} "
            f"({' x '.join(map(str, shape)) if len(shape) == head[3] else 'cut within the header'}): put a whole copy "
            "in its place"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8).reshape(shape).copy())


def read_labelled(folder: Path, part: str, classes: int) -> tuple[Tensor, Tensor]:
    """Images (N, 1, H, W) uint8 and labels (N,) int64 of one part, `train` or `t10k`.

    Raises:
        DataError: a file is damaged, the two do not match, or a label is out of range.
    """
    image_path, label_path = (find(folder, f"{part}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    if image_path is None or label_path is None:
        raise DataError(f"{folder} has no {part} images and labels")  # callers look first: see `holds`
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{image_path} holds {_shape(images)}, not images of 28 x 28: put the original in its place")
    if labels.ndim != 1 or len(images) != len(labels):
        raise DataError(
            f"{image_path} ({_shape(images)}) and {label_path} ({_shape(labels)}) do not belong together: "
            "put the originals in their place"
        )
    if len(labels) == 0 or int(labels.max()) >= classes:
        raise DataError(
            f"{label_path} has labels up to {labels.max() if len(labels) else '-'}, expected 0 to {classes - 1}"
        )
    return images.unsqueeze(1), labels.long()


def find(folder: Path, name: str) -> Path | None:
    """The unpacked or packed file, unpacked first; None where there is neither."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def holds(folder: Path) -> bool:
    """Whether all four files of the data set are in `folder`, packed or not."""
    names = [f"{p}-{k}" for p in ("train", "t10k") for k in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    return all(find(folder, name) for name in names)


def _shape(x: Tensor) -> str:
    return " x ".join(map(str, x.shape))
