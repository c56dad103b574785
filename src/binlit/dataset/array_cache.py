"""Arrays that are expensive to make, kept on disk in the cache folder, outside any data folder."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from binlit.files import alone, remove_leftovers, whole
from binlit.paths import cache_dir

HEADER = 512  # bytes at most before the array in a .npy file
DIGEST = 32  # bytes of SHA-256 after it


def kept(stem: str, stamp: str, ending: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
    """The uint8 array of `shape` in the cache, or what `make` gives, which is put there.

    Args:
        stem, stamp, ending: the file's name is `{stem}-{stamp}{ending}`. `stamp`, hexadecimal digits, says what the
            array was made of: files of another stamp are out of date and go when a new one comes, or the cache would
            grow with every change.
        shape: a file with another is damaged, and made anew.
        make: called where there is no good file, by one process at a time.
    """
    cached = cache_dir() / f"{stem}-{stamp}{ending}"
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # a cache that cannot be written is done without
            cached.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone(cached.with_suffix(".lock")))  # jobs side by side: one decodes
        same = f"{stem}-{'[0-9a-f]' * len(stamp)}{ending}"  # with any stamp
        for left in cached.parent.glob(f".{same}.*"):
            remove_leftovers(cached.with_name(left.name[1 : 1 + len(cached.name)]))
        array = _good(cached, shape)
        if array is not None:
            return array
        array = make()
        with contextlib.suppress(OSError):
            with whole(cached) as file:
                np.save(file, array)
                file.write(_digest(cached, array))
            for old in cached.parent.glob(same):
                if old != cached:
                    old.unlink()
    return array


def _good(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array in a file that `kept` wrote under this name and that has not changed since, else None."""
    size = math.prod(shape)
    with contextlib.suppress(OSError):
        if path.is_file() and 0 < path.stat().st_size - size - DIGEST <= HEADER:  # what has another size is not read
            raw = np.fromfile(path, np.uint8)
            array = raw[len(raw) - size - DIGEST : len(raw) - DIGEST].reshape(shape)
            if raw[len(raw) - DIGEST :].tobytes() == _digest(path, array):
                return array
    return None


def _digest(path: Path, array: np.ndarray) -> bytes:
    """Of the array and of the name that it is kept under: a file of other data does not pass under this one."""
    digest = hashlib.sha256(f"{path.name} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
