"""Records as they lie on a disk: what is torn, foreign, changed or of another version is named and left out."""

from __future__ import annotations

import hashlib
import itertools
import json
import stat
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from binlit.errors import complain
from binlit.results.shape import UnfitError, fit

Record = dict[str, Any]
LARGEST = 1 << 25  # bytes of one record; that of a long few-shot run has one in a hundred of it
SEAL = "sha256"


def sealed(record: Record) -> Record:
    """The record with a checksum of what it holds, by which `parsed` knows a changed one."""
    return record | {SEAL: _digest(json.loads(json.dumps(record)))}


def parsed(text: bytes) -> Any:
    """What a JSON text holds; of a sealed record, the record without its seal.

    Raises:
        UnfitError: it is no JSON, or the record was changed after it was sealed.
    """
    try:
        content = json.loads(text.decode())  # as everybody else reads it: no byte order mark, no UTF-16
    except UnicodeDecodeError as error:
        raise UnfitError("it is no text") from error
    except (ValueError, RecursionError) as error:
        raise UnfitError("it is empty" if not text.strip(b"\0 \n") else f"it is torn or no JSON: {error}") from error
    if isinstance(content, dict) and SEAL in content:
        seal = content.pop(SEAL)
        if seal != _digest(content):
            raise UnfitError("it was changed after it was written")
    return content


def read_whole(path: Path, shape: TypeAdapter[Any] | None = None) -> Any:
    """The content of a JSON file, which has `shape`.

    Raises:
        UnfitError: it is not to be read, or not that.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UnfitError("it is no file")
        if found.st_size > LARGEST:
            raise UnfitError(f"it has {found.st_size:,} bytes, more than any record")
        text = path.read_bytes()
    except OSError as error:
        raise UnfitError((error.strerror or str(error)).lower()) from error
    return parsed(text) if shape is None else fit(shape, parsed(text))


def read_lines(path: Path, shape: TypeAdapter[Any]) -> list[Record]:
    """The records of a .jsonl file, a line each; those that are not whole are named together and left out."""
    records, wrong = [], []
    try:
        for number, line in _lines(path):
            try:
                records.append(fit(shape, parsed(line)))
            except UnfitError as error:
                wrong.append(f"line {number} ({error})")
    except (OSError, UnfitError) as error:
        wrong.append(str(error))
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        name(path, f"{wrong[0]}{more}", "left out")
    return records


def as_lines(records: Iterable[Record]) -> str:
    """The records as the text of a .jsonl file."""
    return "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers."""
    if not path.is_file():
        raise UnfitError("it is no file")
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(LARGEST + 1)
            if len(line) > LARGEST:
                raise UnfitError(f"line {number} is longer than any record, and what follows is not read")
            if not line:
                return
            if line.strip():
                yield number, line


@cache
def name(path: Path, why: str, consequence: str) -> None:
    """Says once in a process what is wrong with a file, and what follows from it."""
    complain(f"warning: {path} cannot be used, {why}: {consequence}")


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
