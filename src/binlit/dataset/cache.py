"""Arrays that are dear to make, kept on disk in the cache folder, outside any data folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import numpy as np

from binlit.dataset.fetch import alone
from binlit.paths import cache_dir


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
        with contextlib.suppress(OSError, ValueError, EOFError):  # not there, or damaged
            array = np.load(cached, allow_pickle=False)
            if array.shape == shape and array.dtype == np.uint8:
                return array
        array = make()
        with contextlib.suppress(OSError):
            temporary = cached.with_name(f".{cached.name}.{os.getpid()}.npy")
            np.save(temporary, array)
            temporary.replace(cached)
            for old in cached.parent.glob(f"{stem}-{'[0-9a-f]' * len(stamp)}{ending}"):
                if old != cached:
                    old.unlink()
    return array
