"""Data that is not there is fetched once, into ./data, whatever number of jobs asks for it."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Holds the lock file for one process; others wait. The lock goes with the process, however it ends."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def roots(data_dir: Path) -> list[Path]:
    """Folders that are looked in, in this order: the one given, then ./data."""
    return list(dict.fromkeys([data_dir.absolute(), Path("data").absolute()]))


def fetched(name: str, found: Callable[[Path], Any], fetch: Callable[[Path], None]) -> Path:
    """./data, in which `fetch` has put what `found` then finds; jobs side by side: one fetches, the others wait.

    Raises:
        OSError, RuntimeError: as `fetch` raises them (no connection, no space, a wrong checksum).
    """
    root = Path("data").absolute()
    root.mkdir(parents=True, exist_ok=True)
    with alone(root / f".{name}.lock"):
        if not found(root):
            fetch(root)
    return root
