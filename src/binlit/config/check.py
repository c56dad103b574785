"""Checks a composed config before anything is built or read, and says in a line or two what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from binlit.config.device import on_this_machine
from binlit.config.fit import NAMED_CLASSES, contradictions
from binlit.config.option import OwnOption
from binlit.config.read import Config, ConfigError, nearest
from binlit.config.schema import OPTIONS, Run, Weight


def check(cfg: DictConfig | Config) -> Config:
    """The config as plain containers, every interpolation resolved, once it has passed the schema.

    Raises:
        ConfigError: the first few things that are wrong, one line each.
    """
    if isinstance(cfg, DictConfig):
        cfg = on_this_machine(resolved(cfg))
    cfg = _count_classes(cfg)
    problems = _problems(Run, cfg, "")
    if not problems:  # what is wrong at the top often comes back in a group that repeats it
        for group in OPTIONS:
            problems += _option_problems(group, cfg.get(group), group)
        problems += _option_problems("estimator", (cfg.get("weight") or {}).get("estimator"), "weight.estimator")
    if not problems:
        problems = list(contradictions(cfg))
    if problems:
        raise ConfigError("\n".join(problems[:2]))
    return cfg


def check_choices(cfg: Config, overrides: Iterable[str]) -> None:
    """Refuses a scheduler that does not exist: the group is optional in conf/config.yaml, so Hydra lets it pass.

    Raises:
        ConfigError: naming the choice.
    """
    for override in overrides:
        key, _, choice = override.partition("=")
        if key == "scheduler" and choice != "none" and cfg["scheduler"]["name"] == "none":
            near = nearest(choice, OPTIONS["scheduler"])
            hint = f" (did you mean {near}?)" if near else ""
            raise ConfigError(f"scheduler={choice} does not exist; choose {', '.join(OPTIONS['scheduler'])}{hint}")


def resolved(cfg: DictConfig) -> Config:
    """The config without Hydra's part as plain containers, interpolations resolved.

    Raises:
        ConfigError: a value is missing or cannot be resolved.
    """
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    try:
        container = OmegaConf.to_container(plain, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _count_classes(cfg: Config) -> Config:
    """The config with `dataset.classes=all` as a number, and whatever follows it.

    Raises:
        ConfigError: there is no such name.
    """
    data, model = cfg.get("dataset"), cfg.get("model")
    if not isinstance(data, dict) or not isinstance(data.get("classes"), str):
        return cfg
    named, said = NAMED_CLASSES.get(str(data.get("name")), {}), data["classes"]
    if named and said not in named:
        near = nearest(said, named)
        hint = f" (did you mean {near}?)" if near else ""
        raise ConfigError(f"dataset.classes={said} is not allowed; choose {', '.join(named)}, or a number ≥ 2{hint}")
    if said in named:
        rotations = data.get("rotations")
        count = named[said] * (len(rotations) if isinstance(rotations, list) and rotations else 1)
        cfg = cfg | {"dataset": data | {"classes": count}}
        if isinstance(model, dict) and model.get("classes") == said:
            cfg["model"] = model | {"classes": count}
    return cfg


def _option_problems(group: str, node: Config | None, path: str) -> list[str]:
    """Those of one group's option; None for a group that records from before it was there lack."""
    if node is None:
        return []
    own = Weight if group == "weight" else OwnOption  # ways to make weights binary differ in values, never in keys
    return _problems(OPTIONS[group].get(str(node.get("name")), own), node, path)


def _problems(schema: type[BaseModel], node: Config, group: str) -> list[str]:
    try:
        schema.model_validate(node)
    except ValidationError as error:
        seen: dict[str, str] = {}  # a union reports one problem for each member: keep the first
        for detail in error.errors(include_url=False):
            loc = [str(part) for part in detail["loc"]]
            field = loc[0] if loc else ""
            depth = 2 if schema is Run and field == "binary" else 1  # deeper parts name members of unions
            path = ".".join(part for part in (group, *loc[:depth]) if part)
            seen.setdefault(path, _sentence(schema, detail, path, field, node))
        return list(seen.values())
    return []


def _sentence(schema: type[BaseModel], detail: ErrorDetails, path: str, field: str, node: Config) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = [info.alias or name for name, info in schema.model_fields.items()]
        if len(detail["loc"]) > 1:  # inside binary, which is nested in Run
            known = list(Run.model_fields["binary"].annotation.model_fields)  # type: ignore[union-attr]
            field = str(detail["loc"][1])
        options = OPTIONS.get(path.partition(".")[0], {})
        if owners := [f"{path.partition('.')[0]}={name}" for name, option in options.items() if _has(option, field)]:
            return f"{path}={value!r}: the chosen option has no setting '{path}'; {' or '.join(owners)} has it"
        near = nearest(field, [*known, "experiment"] if schema is Run else known)
        prefix = path.rpartition(".")[0] + "." if "." in path else ""
        meant = f"+experiment={value}" if near == "experiment" else f"{prefix}{near}"
        hint = f"did you mean {meant}?" if near else f"known: {', '.join(k for k in known if k[0] != '_')}"
        return f"{path}={value!r}: there is no setting '{path}'; {hint}"
    if kind == "missing":
        return (
            f"{path} is missing; choose an option of the group, such as {', '.join(list(OPTIONS.get(field, {}))[:3])}"
        )
    if kind == "value_error":
        return str(context["error"])
    where = _annotation(schema, [str(part) for part in detail["loc"]])
    choices = [str(choice) for choice in _literals(where)]
    if choices and isinstance(value, str | int | float) and kind != "list_type":
        near = nearest(str(value), choices)
        hint = f" (did you mean {near}?)" if near else ""
        others = ", or a number ≥ 1" if _has_others(where) else ""
        return f"{path}={value} is not allowed; choose {' or '.join(choices)}{others}{hint}"
    value = node.get(field, value) if schema is not Run else value
    return f"{path}={value!r} is not allowed: {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _annotation(schema: type[BaseModel], loc: list[str]) -> Any:
    """The type of the field that `loc` points to, through one nested model."""
    info = schema.model_fields.get(loc[0]) if loc else None
    annotation = info.annotation if info else None
    if len(loc) > 1 and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _annotation(annotation, loc[1:])
    return annotation


def _has(option: type[BaseModel], field: str) -> bool:
    return field in {info.alias or name for name, info in option.model_fields.items()} and field[0] != "_"


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
