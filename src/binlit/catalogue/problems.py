"""What is wrong with a node of a config, by its schema: one sentence each, with the value and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from binlit.catalogue import GROUPS, Config, files
from binlit.catalogue.folders import options_of
from binlit.errors import did_you_mean, nearest


def problems_of(schema: type[BaseModel], node: Config, group: str) -> list[str]:
    """What is wrong with a node, a line each; `group` is its path."""
    try:
        schema.model_validate(node)
    except ValidationError as error:
        seen: dict[str, str] = {}  # a union reports one problem for each member: keep the first
        for detail in error.errors(include_url=False):
            loc = [str(part) for part in detail["loc"]]
            field = loc[0] if loc else ""
            depth = 2 if _inner(schema, field) or field in _tables(schema) else 1  # deeper: members of unions
            path = ".".join(part for part in (group, *loc[:depth]) if part)
            seen.setdefault(path, _sentence(schema, detail, path, field, node))
        return list(seen.values())
    return list(_not_exact(schema, node, group))


def _not_exact(schema: type[BaseModel], node: Config, group: str) -> Iterable[str]:
    """Values that equal an allowed one and are another: true and 1.0 for 1, which pydantic takes."""
    for name, info in schema.model_fields.items():
        key, allowed = info.alias or name, _literals(info.annotation)
        value = node.get(key)
        for one in value if isinstance(value, list) else [value]:
            same = [choice for choice in allowed if choice == one]
            if same and not any(type(choice) is type(one) for choice in same):
                yield f"{group}.{key}={_shown(value)} is not allowed; choose {' or '.join(map(str, allowed))}"


def _sentence(schema: type[BaseModel], detail: ErrorDetails, path: str, field: str, node: Config) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _no_such_key(schema, [str(part) for part in detail["loc"]], path, value)
    if kind == "missing":
        if options := options_of(path) if "." not in path else []:
            return f"{path} is missing; write {path}=OPTION with one of {', '.join(options)}"
        return f"{path} is missing; give it a value, {path}=VALUE"
    value = value if _inner(schema, field) or _tables(schema) else node.get(field, value)
    if kind == "value_error":
        said = str(detail.get("ctx", {})["error"])  # it says all by itself where it names the setting
        return said if "=" in said else f"{path}={_shown(value)} is not allowed: {said}"
    if kind == "string_type" and isinstance(value, list):
        text = f"{path}='[{','.join(map(str, value))}]'"
        return f'{path}={_shown(value)} is not allowed: it is a list; to give text with brackets, quote it: "{text}"'
    hint = _as_text(value, path)
    where = _annotation(schema, [str(part) for part in detail["loc"]])
    choices = [str(choice) for choice in _literals(where)]
    if choices and kind != "list_type":
        others = ", or a number ≥ 1" if _has_others(where) else ""
        near = did_you_mean(str(detail["input"]), choices)
        shown = detail["input"] if isinstance(detail["input"], str | int | float) else _shown(value)
        return f"{path}={shown} is not allowed; choose {' or '.join(choices)}{others}{near}"
    said = SENTENCES.get(kind) or f"{detail['msg'][0].lower()}{detail['msg'][1:]}"
    return f"{path}={_shown(value)} is not allowed: {said}{hint}"


# What pydantic says in words of its own.
SENTENCES = {"string_pattern_mismatch": "give letters, digits, _, - and dots, none of - and . first"}


def _as_text(value: Any, path: str) -> str:
    """The hint for a value that was put in quotes, or that came out of the environment, which knows text alone."""
    try:
        meant = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return ""
    if meant is None or isinstance(meant, str) or not isinstance(value, str):
        return ""
    decoded = f"{path}='${{oc.decode:${{oc.env:NAME}}}}'"
    return f'; it is text: drop the quotes, {path}={value}, or from the environment "{decoded}"'


def _no_such_key(schema: type[BaseModel], loc: list[str], path: str, value: Any) -> str:
    """Names the options that have the key, or the key that was probably meant."""
    known = [info.alias or name for name, info in schema.model_fields.items()]
    if len(loc) > 1 and (inner := _inner(schema, loc[0])):
        known = list(inner.model_fields)
    field, group = loc[-1] if len(loc) > 1 else loc[0], path.partition(".")[0]
    options = files(group) if group in GROUPS else {}
    if owners := [f"{group}={name}" for name, one in options.items() if field in one.ranges]:
        return f"{path}={_shown(value)}: the chosen option has no setting '{path}'; {' or '.join(owners)} has it"
    near = nearest(field, [*known, "experiment"] if _tables(schema) else known)
    prefix = path.rpartition(".")[0] + "." if "." in path else ""
    meant = f"+experiment={value}" if near == "experiment" else f"{prefix}{near}"
    hint = f"did you mean {meant}?" if near else f"known: {', '.join(k for k in known if k[0] != '_')}"
    return f"{path}={_shown(value)}: there is no setting '{path}'; {hint}"


def _shown(value: Any) -> str:
    """A value as a message shows it, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def _tables(schema: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a whole config whose keys are anybody's; none of the schema of a part."""
    return getattr(schema, "tables", ())


def _inner(schema: type[BaseModel], field: str) -> type[BaseModel] | None:
    """The schema of a field that has keys of its own."""
    info = schema.model_fields.get(field)
    annotation = info.annotation if info else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _annotation(schema: type[BaseModel], loc: list[str]) -> Any:
    """The type of the field that `loc` points to, through one nested model."""
    info = schema.model_fields.get(loc[0]) if loc else None
    if len(loc) > 1 and (inner := _inner(schema, loc[0])):
        return _annotation(inner, loc[1:])
    return info.annotation if info else None


def _has_others(annotation: Any) -> bool:
    """Whether there are values beside the literals: other types than a list of these, or None."""
    if annotation is None or annotation is type(None) or str(annotation).startswith("typing.Literal"):
        return False
    return not get_args(annotation) or any(_has_others(part) for part in get_args(annotation))


def _literals(annotation: Any) -> list[Any]:
    if annotation is None:
        return []
    if str(annotation).startswith("typing.Literal"):
        return list(get_args(annotation))
    return [choice for part in get_args(annotation) for choice in _literals(part)]
