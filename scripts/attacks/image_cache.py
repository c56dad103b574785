"""Kind 7: the cache of decoded images, damaged or foreign. The same images in any case: made anew where need be."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from attacks import whole_data
from attacks.ground import Ground
from attacks.hostile_config import Evil
from attacks.running import Ended, Try, fork
from attacks.verdict import strays, unhurt, untouched

TITLE = "the cache of decoded images"
Change = Callable[[Path], object]  # attacks one file of the cache


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    changes = {**CHANGES}
    for number in range(4):
        at = chance.uniform(0.01, 1)  # behind the header
        changes[f"flip-{number}"] = lambda path, at=at: _flip(path, at)
    for name, change in changes.items():
        yield Try(name, lambda folder, change=change: _attacked(ground, folder, change))


def _read(folder: Path) -> Ended:
    """All images that a run would see, told by a checksum."""

    def act() -> None:
        from binlit.dataset import Omniglot
        from binlit.dataset.errors import DataError

        data = Omniglot(data_dir="data", download=False, image_size=28, classes=964)
        try:
            data.setup()
        except DataError as error:
            print(error, file=sys.stderr)
            raise SystemExit(2) from None
        for part in ("train", "val", "test"):
            print(part, hashlib.sha256(data.parts[part].images.numpy().tobytes()).hexdigest())

    return fork(act, folder, "Omniglot().setup()", 180).wait()


@cache
def _whole(folder: Path) -> tuple[list[str], float]:
    """Checksums and memory where nothing is cached; the cache is then in folder/cache."""
    folder.mkdir(parents=True, exist_ok=True)
    whole_data.linked(whole_data.omniglot(folder.parent / "data"), folder / "data")
    ended = _read(folder)
    assert ended.status == 0, ended.err
    return _sums(ended), ended.peak


def _sums(ended: Ended) -> list[str]:
    return [line for line in ended.out.splitlines() if line.startswith(("train", "val", "test"))]


def _attacked(ground: Ground, folder: Path, change: Change) -> Iterator[str]:
    """All files of the cache are attacked that hold arrays."""
    own = ground.folder / f"cache-{os.getpid()}"
    sums, usual = _whole(own)
    shutil.copytree(own / "data", folder / "data", copy_function=os.link)
    shutil.copytree(own / "cache", folder / "cache")
    for path in sorted((folder / "cache").rglob("*.npy")):
        change(path)
    ended = _read(folder)
    yield from unhurt(ended, usual)
    yield from untouched(folder)
    yield from strays(folder / "cache")
    if ended.status != 0:
        yield f"status {ended.status}: {ended.err.strip()[-150:]}"
    elif _sums(ended) != sums:
        yield "other images"


def _flip(path: Path, at: float) -> None:
    with path.open("r+b") as file:
        place = min(int(at * path.stat().st_size), path.stat().st_size - 1)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 16]))


def _array(make: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda path: np.save(path, make(np.load(path)), allow_pickle=True)


def _vast(path: Path) -> None:
    """A header of a terabyte."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**12,)})


def _sparse(path: Path) -> None:
    """100 GB, none of which are on the disk."""
    _vast(path)
    os.truncate(path, 100 << 30)


def _instead(make: Callable[[Path], object]) -> Change:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


CHANGES: dict[str, Change] = {
    "as it is": lambda path: None,
    "zeros of the right shape": _array(np.zeros_like),
    "noise of the right shape": _array(lambda old: np.random.default_rng(1).integers(0, 256, old.shape, np.uint8)),
    "two characters changed round": _array(lambda old: np.concatenate([old[1:], old[:1]])),
    "another shape": _array(lambda old: old[:-1]),
    "pickled code": lambda path: np.save(path, np.array([Evil()], object), allow_pickle=True),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Evil())),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "a header of a terabyte": _vast,
    "100 GB of nothing": _sparse,
    "a folder": _instead(lambda path: path.mkdir()),
    "a pipe": _instead(os.mkfifo),
    "a link to itself": _instead(lambda path: path.symlink_to(path.name)),
    "bytes behind": lambda path: path.write_bytes(path.read_bytes() + b"more"),
}
