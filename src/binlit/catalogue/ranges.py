"""Which values a setting takes, as the YAML of an option states it.

    draws: integer >= 1 | some integer >= 1      one count, or a list of at least one
    temperature: number > 0
    repeat_at: site | input                      one of these words
    learning_rate: number > 0 | null
    margin: number > 0 < window                  a bound may be the value of another key
    betas: 2 number >= 0 < 1                     a list of two
    also: any 2 integer >= 1                     a list of pairs, or an empty one
    rotations: distinct 0 | 90 | 180 | 270       a list without repeats

`text`, `bool`, `settings` (a mapping) and `anything` are kinds as well. A prefix (`some`, `any`, `distinct`, a number)
makes a list of all that stands to its right.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal, Union

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from binlit.errors import did_you_mean

KINDS: dict[str, Any] = {
    "integer": int, "number": float, "text": str, "bool": bool, "anything": Any, "settings": dict[str, Any]
}  # fmt: skip
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
        if kind in KINDS:
            members.append(_bounded(kind, part))
        else:
            words.append(None if part == "null" else yaml.safe_load(part))
    members += [None] * (None in words)
    if words := [word for word in words if word is not None]:
        members.insert(0, Literal[tuple(words)])
    if not members:
        raise ValueError("it is empty")
    return Union[tuple(members)]  # noqa: UP007 (made while the program runs)


@cache
def _adapter(text: str) -> TypeAdapter[Any]:
    return TypeAdapter(annotation(text))


def problem(path: str, value: Any, text: str) -> str | None:
    """What is wrong with a value, in a line; None where the range `text` takes it.

    Args:
        path: the setting's name on the command line.
    """
    try:
        _adapter(text).validate_python(value, strict=True)
    except ValidationError as error:
        said = [
            detail.get("ctx", {}).get("error")
            for detail in error.errors(include_url=False)
            if detail["type"] == "value_error"
        ]
        if said:
            return f"{path}={value}: {said[0]}"
        parts = [part.strip() for part in text.split("|")]
        words = [part for part in parts if part.partition(" ")[0] not in KINDS and " " not in part]
        hint = did_you_mean(value, words) if isinstance(value, str) else ""
        if words == parts and not isinstance(value, list | dict):
            return f"{path}={value} is not allowed; choose {' or '.join(words)}{hint}"
        return f"{path}={value!r} is not allowed; give {' or '.join(parts)}{hint}"
    return None


def other_keys(text: str) -> list[tuple[str, str]]:
    """The bounds that are values of other keys: [("<", "window")]."""
    return [(sign, bound) for sign, bound in _BOUND.findall(text) if not _is_number(bound)]


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
        raise ValueError(f"{values} names a value twice")
    return values


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", text) is not None
