"""The folder of compiled kernels, which this user alone can write to, and libraries that are as they were written.

A library is code. So the folder is one's own (mode 0700, reached through one open descriptor, whatever others may do to
the folders above it), a file's name holds the SHA-256 of what is in it, and what is loaded is a copy that nobody else
can reach: of bytes that were compared first.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from binlit.paths import cache_dir

LARGEST = 16 << 20  # bytes of a library; the kernel has 50,000
OTHERS_WRITE, OTHERS = 0o022, 0o077


class CacheError(Exception):
    """The folder cannot keep libraries; the message says why."""


def folder() -> Path:
    """Where this user's kernels lie. Several users may share the cache; their kernels they do not."""
    return cache_dir() / f"kernels-{os.getuid()}"


def kept(key: str) -> bytes | None:
    """The library that was kept under this key; None where there is none that can be trusted.

    Raises:
        CacheError: the folder is not this user's own, or cannot be read.
    """
    with _opened() as place:
        for name in _names(place):
            if name.startswith(f"{key}-") and name.endswith(".so"):
                content = _read(place, name)
                if content is not None and name == _name(key, content):
                    return content
                _remove(place, name)  # damaged, or not ours
    return None


def keep(key: str, content: bytes) -> None:
    """Keeps a library under this key, whole or not at all.

    Raises:
        CacheError: the folder is not this user's own, or cannot be written.
    """
    with _opened() as place:
        name = _name(key, content)
        part = f"{name}.{os.getpid()}.part"
        for left in _names(place):  # by a process that was killed
            if left.endswith(".part") and os.stat(left, dir_fd=place).st_mtime < time.time() - 3600:
                _remove(place, left)
        try:
            number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=place)
            with os.fdopen(number, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(number)
            os.replace(part, name, src_dir_fd=place, dst_dir_fd=place)
        except OSError:
            _remove(place, part)
            raise


def loaded(content: bytes) -> Any:
    """A library loaded from a copy of its bytes, which neither a file nor another process can change.

    Raises:
        OSError: it is none, or may not be loaded here.
    """
    if not _is_whole(content):
        raise OSError("the library is truncated")
    with contextlib.suppress(AttributeError, OSError):  # no Linux, or one that does not execute such files
        return _from_memory(os.memfd_create("binlit-kernel"), content)
    with tempfile.TemporaryDirectory() as place:  # of mode 0700
        path = Path(place) / "kernel.so"
        path.write_bytes(content)
        return ctypes.CDLL(str(path))


def _from_memory(number: int, content: bytes) -> Any:
    try:
        with open(number, "wb", closefd=False) as copy:
            copy.write(content)
        # the descriptor stays open for good: the loader takes two libraries of one path for the same
        return ctypes.CDLL(f"/proc/self/fd/{number}")
    except OSError:
        os.close(number)
        raise


@contextlib.contextmanager
def _opened() -> Iterator[int]:
    """A descriptor of the folder, made where it is missing; emptied where others could have written to it."""
    try:
        path = folder()
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        place = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        raise CacheError(str(error)) from error
    try:
        found = os.fstat(place)
        if found.st_uid != os.geteuid():
            raise CacheError(f"{path} belongs to another user")
        if found.st_mode & OTHERS_WRITE:
            os.fchmod(place, 0o700)
            for name in _names(place):
                _remove(place, name)
        elif found.st_mode & OTHERS:
            with contextlib.suppress(OSError):
                os.fchmod(place, 0o700)
        yield place
    except OSError as error:
        raise CacheError(f"{path}: {error.strerror or error}") from error
    finally:
        os.close(place)


def _names(place: int) -> list[str]:
    with os.scandir(place) as entries:
        return sorted(entry.name for entry in entries)


def _remove(place: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=place)


def _read(place: int, name: str) -> bytes | None:
    """A regular file of this user's alone; None for anything else."""
    try:
        number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    except OSError:
        return None
    with os.fdopen(number, "rb") as file:
        found = os.fstat(number)
        own = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & OTHERS_WRITE
        return file.read(LARGEST) if own else None


def _name(key: str, content: bytes) -> str:
    return f"{key}-{hashlib.sha256(content).hexdigest()}.so"


def _is_whole(content: bytes) -> bool:
    """Whether a 64-bit ELF file has all that its header promises (its table of sections comes last).

    A truncated one would end the process when it is loaded; other formats are left to the loader.
    """
    if content[:5] != b"\x7fELF\x02":
        return True
    start, size, count = (int.from_bytes(content[a:b], "little") for a, b in ((40, 48), (58, 60), (60, 62)))
    return len(content) >= max(64, start + size * count)
