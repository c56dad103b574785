"""Data that is not there is fetched once, into ./data, whatever number of jobs needs it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from binlit.dataset.errors import DataError
from binlit.files import alone


def roots(data_dir: Path) -> list[Path]:
    """Folders that are looked in, in this order: the one given, then ./data."""
    return list(dict.fromkeys([data_dir.absolute(), Path("data").absolute()]))


def fetched(
    name: str, found: Callable[[Path], Any], fetch: Callable[[Path], None], makes: Sequence[str] | None = None
) -> Path:
    """./data, in which `fetch` has put what `found` then finds; jobs side by side: one fetches, the others wait.

    Args:
        name: of the lock.
        found, fetch: called with ./data.
        makes: names in ./data that `fetch` makes. What is new in them goes when it fails; `name` where not given.

    Raises:
        DataError: it failed (no connection, no space, a wrong checksum); nothing new is left.
    """
    root = Path("data").absolute()
    made = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with alone(root / f".{name}.lock"):
            if found(root):
                return root
            places = [root / make for make in makes or [name]]
            before = {path for place in places for path in [place, *place.rglob("*")] if path.exists()}
            done = False
            try:
                fetch(root)
                done = True
            finally:
                if not done:
                    for place in places:
                        _remove_new(place, before)
                    (root / f".{name}.lock").unlink(missing_ok=True)
                    with contextlib.suppress(OSError):
                        root.rmdir() if made else None
    except Exception as error:  # whatever a server, a disk or torchvision brings about
        raise DataError(f"the download failed ({(str(error) or type(error).__name__).splitlines()[0]})") from error
    return root


def _remove_new(place: Path, before: set[Path]) -> None:
    with contextlib.suppress(OSError):
        if place not in before:
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
        elif place.is_dir():
            for path in place.iterdir():
                _remove_new(path, before)
