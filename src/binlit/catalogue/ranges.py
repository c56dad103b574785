"""Which values a setting takes, as the YAML of an option states it.

    draws: integer >= 1 | some integer >= 1      one count, or a list of at least one
    temperature: number > 0
    repeat_at: site | input                      one of these words
    learning_rate: number > 0 | null
    margin: number > 0 < window                  a bound may be the value of another key
    betas: 2 number >= 0 < 1                     a list of two
    also: any 2 integer >= 1                     a list of pairs, or an empty one
    rotations: distinct 0 | 90 | 180 | 270       a list without repeats

`text`, `place` (a path), `bool`, `settings` (a mapping), `anything`, and
those of `NAMED` are kinds as well. A prefix (`some`, `any`, `distinct`, a number)
makes a list of all that stands to its right.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal, Union

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, Field

from binlit.errors import did_you_mean

KINDS: dict[str, Any] = {
    "integer": int,
    "number": float,
    "text": str,
    "bool": bool,
    "anything": Any,
    "settings": dict[str, Any],
}
# Ranges that many settings share. Beyond them nothing is learned, or the run neither fits nor ends.
NAMED = {
    "count": "integer >= 1 <= 100000",
    "draws": "integer >= 1 <= 1000",
    "width": "integer >= 1 <= 65536",
    "seed": "integer >= 0 < 4294967296",
    "positive": "number > 1e-4 <= 1e4",  # temperatures, windows, slopes: what is compared with a unit's input
    "rate": "number >= 1e-12 <= 10",
    "epsilon": "number >= 1e-16 <= 1",
    "share": "number >= 0 <= 0.9999",
}
BOUNDS: dict[str, Any] = {">=": Ge, ">": Gt, "<=": Le, "<": Lt}
_LIST = re.compile(r"^(some|any|distinct|\d+) ([^|].*)$")
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*([^\s<>=]+)")


@cache
def annotation(text: str) -> Any:
    """The type of pydantic's that takes these values and no others.

    Raises:
        ValueError: the text cannot be read.
    """
    members: list[Any] = []
    words: list[Any] = []
    rest = text.strip()
    while rest:
        listed = _LIST.match(rest)
        if listed:
            members.append(_list(listed[1], listed[2]))
            break
        part, _, rest = (piece.strip() for piece in rest.partition("|"))
        kind = part.partition(" ")[0]
        part = part.replace(kind, NAMED.get(kind, kind), 1)
        kind = part.partition(" ")[0]
        if kind == "place":
            members.append(Place)
        elif kind in KINDS:
            members.append(_bounded(kind, part))
        else:
            words.append(None if part == "null" else _word(part))
    members += [None] * (None in words)
    if words := [word for word in words if word is not None]:
        members.insert(0, Literal[tuple(words)])
    if not members:
        raise ValueError("it is empty")
    return Union[tuple(members)]  # noqa: UP007 (made while the program runs)


def other_keys(text: str) -> list[tuple[str, str]]:
    """The bounds that are values of other keys: [("<", "window")]."""
    return [(sign, bound) for sign, bound in _BOUND.findall(text) if not _is_number(bound)]


def _word(part: str) -> str | int | float | bool:
    """One of the words that a setting takes."""
    value = yaml.safe_load(part)
    if _BOUND.search(part) or not isinstance(value, str | int | float | bool):
        kinds = [*KINDS, *NAMED, "place"]
        raise ValueError(f"'{part}' is no kind of value{did_you_mean(part.partition(' ')[0], kinds)}")
    return value


def _bounded(kind: str, part: str) -> Any:
    bounds = part.removeprefix(kind)
    if _BOUND.sub("", bounds).strip():
        raise ValueError(f"'{part}' is a kind with bounds that cannot be read; write such as '{kind} >= 0 < 1'")
    if bounds and kind not in ("integer", "number"):
        raise ValueError(f"'{part}': {kind} has no bounds")
    limits = [BOUNDS[sign](float(bound)) for sign, bound in _BOUND.findall(bounds) if _is_number(bound)]
    if kind == "number":
        limits.append(Field(allow_inf_nan=False))
    taken = KINDS[kind]
    for limit in limits:
        taken = Annotated[taken, limit]
    return taken


def _list(prefix: str, rest: str) -> Any:
    inner = list[annotation(rest)]  # type: ignore[misc]
    if prefix == "any":
        return inner
    if prefix in ("some", "distinct"):
        once = [AfterValidator(_distinct)] if prefix == "distinct" else []
        return Annotated[inner, Field(min_length=1), *once]
    return Annotated[inner, Field(min_length=int(prefix), max_length=int(prefix))]


def _distinct(values: list[Any]) -> list[Any]:
    if len({str(value) for value in values}) != len(values):
        raise ValueError("it names a value twice")
    return values


def _usable(path: str) -> str:
    if not path.strip():
        raise ValueError("it is empty (an unset shell variable?); give a path, such as outputs")
    if path.startswith("~"):
        raise ValueError("the shell leaves this ~ as it is; write $HOME instead of it")
    if "\0" in path or any(len(part.encode()) > 255 for part in path.split("/")):
        raise ValueError("no file system takes it; give a shorter path of printable letters")
    return path


Place = Annotated[str, AfterValidator(_usable)]  # a file or folder


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", text) is not None
