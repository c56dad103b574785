"""Files that are written whole or not at all, and the remains of writers that were killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import itertools
import os
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HOST = re.sub(r"[^\w-]", "-", platform.node())[:32] or "host"
DAY = 86_400  # seconds, after which a file that another machine was writing counts as a remain
REASONS = {errno.ENOTDIR: "it is no folder", errno.EEXIST: "it is no folder"}
REMEDIES = {
    errno.ENOSPC: "free some space there, then run the same command again",
    errno.EDQUOT: "free some space there, then run the same command again",
    errno.EIO: "look to the disk, then run the same command again",
}
_count = itertools.count()


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which is `path` once all of it is on the disk; after an exception `path` is as it was.

    It lies beside `path` under a name with this machine's and this process's in it. What earlier writers of `path`
    left when they were killed is removed first.

    Raises:
        OSError: the folder is not there or cannot be written, the disk is full, or `path` is no regular file.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    check_regular(path)
    remove_leftovers(path)
    temporary = path.with_name(f".{_stem(path)}.{HOST}.{os.getpid()}-{next(_count)}.part")
    try:
        with temporary.open("wb") as file:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # at work, whoever asks
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    with contextlib.suppress(OSError):  # not every file system can
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_whole(path: Path, text: str) -> Path:
    """Writes a text file as `whole` does; returns `path`."""
    with whole(path) as file:
        file.write(text.encode())
    return path


def append_line(path: Path, line: str) -> None:
    """Adds a line to a text file, whole or not at all, one process at a time; an unfinished last line is ended first.

    Raises:
        OSError: as `whole`.
    """
    check_regular(path)
    with path.open("a+b", buffering=0) as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        content = (b"\n" if file.read(1) not in (b"", b"\n") else b"") + line.encode() + b"\n"
        try:
            if file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise


def remove_leftovers(path: Path) -> None:
    """Removes what writers of `path` left when they were killed; what somebody is still writing stays."""
    with contextlib.suppress(OSError):
        for left in path.parent.glob(f".{glob.escape(_stem(path))}.*"):
            rest = left.name.removeprefix(f".{_stem(path)}.")
            # up to 0.1.0 a name had the process alone, and an array's ended in .npy
            named = re.fullmatch(r"(?:(?P<host>[\w-]+)\.)?\d+(?:-\d+)?(?:\.part|\.npy)?", rest)
            if named and not _in_use(left, named["host"] or HOST):
                left.unlink(missing_ok=True)


def check_regular(path: Path) -> None:
    """Raises OSError where `path` is a folder, a device or anything else that is not to be written over."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))


@contextlib.contextmanager
def alone(lock: Path, waiting: str = "", wait: bool = True) -> Iterator[None]:
    """Holds the lock file for one process; others wait, and say so where there is something to say.

    The lock goes with the process, however it ends.

    Raises:
        BlockingIOError: another process holds it, and wait=False.
    """
    while True:
        with lock.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    raise
                if waiting:
                    print(waiting, flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not os.path.exists(lock) or not os.path.samestat(lock.stat(), os.fstat(handle.fileno())):  # noqa: PTH110
                continue  # whoever held it has removed it
            yield
            return


def refusal(error: OSError, folder: Path, remedy: str = "choose another folder, that you may write to") -> str:
    """In a line: the folder, why the system would not read or write there, and what to do."""
    why = REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    shown = str(folder) if len(str(folder)) < 200 else f"{str(folder)[:100]}…"
    return f"{shown} cannot be used: {why}; {REMEDIES.get(error.errno or 0, remedy)}"


def _stem(path: Path) -> str:
    """The file's name, short enough to have the writer's beside it."""
    return os.fsencode(path.name)[:100].decode(errors="ignore")


def _in_use(left: Path, host: str) -> bool:
    found = left.stat()
    age = time.time() - found.st_mtime
    if host != HOST:
        return age < DAY
    if not found.st_size and age < 1:
        return True  # made this moment, perhaps not locked yet
    with left.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
