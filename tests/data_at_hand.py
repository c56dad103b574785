"""Which real data the tests can use, asked by the loaders' own rule."""

from __future__ import annotations

import contextlib
import os
import tempfile
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PLACES = tuple(dict.fromkeys([Path(os.environ.get("BINLIT_DATA_DIR") or "data").absolute(), TOP / "data"]))


@cache
def place_of(name: str, places: tuple[Path, ...] = PLACES) -> Path | None:
    """The first folder that holds the data set, an option of conf/dataset/; None where none does."""
    from binlit.dataset import available  # Lightning, which not every file of tests waits for

    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):  # loaders also look into ./data
        return next((place for place in places if available(name, place)), None)


def real(name: str, places: tuple[Path, ...] = PLACES) -> Path:
    """The folder with a data set, an option of conf/dataset/; the test is skipped, saying so, where it is nowhere."""
    place = place_of(name, places)
    if place is None:
        pytest.skip(f"no {name} in {', '.join(map(str, places))}: set BINLIT_DATA_DIR")
    return place
