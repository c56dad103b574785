"""Checks a composed config before anything is built or read, and says in a line or two what to write instead."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from binlit.config.callback_options import part_of, without_idle
from binlit.config.catalogue import groups, options_of, targets_of
from binlit.config.cost import too_large
from binlit.config.device import on_this_machine
from binlit.config.fit import NAMED_CLASSES, contradictions
from binlit.config.option import OwnOption
from binlit.config.read import Config, ConfigError, did_you_mean, nearest
from binlit.config.schema import OPTIONS, Run, Weight
from binlit.config.words import check_choice

TABLES = ("callbacks", "logger", "row")  # of Run: whose keys are anybody's


def check(cfg: DictConfig | Config) -> Config:
    """The config as plain containers, every interpolation resolved, once it has passed the schema.

    Raises:
        ConfigError: the first few things that are wrong, one line each.
    """
    if isinstance(cfg, DictConfig):
        cfg = on_this_machine(resolved(cfg))
    cfg = _count_classes(cfg)
    if isinstance(cfg.get("callbacks"), dict):
        cfg = cfg | {"callbacks": without_idle(cfg["callbacks"])}
    problems = problems_of(Run, cfg, "")
    if not problems:  # what is wrong at the top often comes back in a group that repeats it
        for group in OPTIONS:
            problems += _option_problems(group, cfg.get(group), group)
        problems += _option_problems("estimator", (cfg.get("weight") or {}).get("estimator"), "weight.estimator")
        for group in ("callbacks", "logger"):
            for name, node in cfg[group].items():
                problems += problems_of(part_of(node), node, f"{group}.{name}") if node is not None else []
    if not problems:
        problems = list(contradictions(cfg))
    if problems:
        raise ConfigError("\n".join(problems[:2]))
    return cfg


def check_start(cfg: Config, words: Iterable[str]) -> None:
    """Refuses what only a run about to start can be refused for.

    An option that does not exist (Hydra lets it pass in optional groups), a checkpoint that is not there, a run that
    is beyond this machine.

    Args:
        cfg: a checked config.
        words: the settings that it was composed of.

    Raises:
        ConfigError: naming the setting.
    """
    for word in words:
        key, _, choice = word.partition("=")
        if key in groups():
            check_choice(key, choice)
    if cfg["ckpt_path"] is not None:
        check_checkpoint(Path(cfg["ckpt_path"]), "ckpt_path")
    for problem in too_large(cfg):
        raise ConfigError(problem)


def check_checkpoint(path: Path, key: str) -> None:
    """Refuses what is no checkpoint at first sight, before torch is loaded to read it.

    Raises:
        ConfigError: there is no such file, or it is no archive as torch writes it.
    """
    if not path.is_file():
        raise ConfigError(
            f"{key}={path} is no file; give a run's checkpoints/last.ckpt to go on from, best.ckpt to test"
        )
    try:
        archive = zipfile.is_zipfile(path)
    except OSError as error:
        raise ConfigError(
            f"{key}={path} cannot be read as a checkpoint ({error.strerror}); give a run's own"
        ) from error
    if not archive:
        raise ConfigError(
            f"{key}={path} cannot be read as a checkpoint; give a run's checkpoints/last.ckpt or best.ckpt"
        )


def resolved(cfg: DictConfig) -> Config:
    """The config without Hydra's part as plain containers, interpolations resolved.

    Raises:
        ConfigError: a value is missing or cannot be resolved.
    """
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    try:
        container = OmegaConf.to_container(plain, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(unresolved(error)) from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def unresolved(error: OmegaConfBaseException) -> str:
    """What is wrong with an interpolation or a missing value, and what to write instead."""
    key, said = error.full_key or "config", str(error).splitlines()[0]
    if isinstance(error, MissingMandatoryValue):
        return f"{key}=??? stands for a value that is missing; write {key}=VALUE"
    if found := re.search(r"Environment variable '(.*)' not found", said):
        return f"{key}: the environment has no {found[1]}; set it, or give a default, ${{oc.env:{found[1]},DEFAULT}}"
    if found := re.search(r"Interpolation key '(.*)' not found", said):
        return f"{key}: there is no setting '{found[1]}' for ${{{found[1]}}}; give the value itself, {key}=VALUE"
    said = said.rpartition("raised while resolving interpolation: ")[2]
    return f"{key} cannot be made out: {said}; give the value itself, {key}=VALUE"


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
        hint = did_you_mean(said, named)
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
    return problems_of(OPTIONS[group].get(str(node.get("name")), own), node, path) or _other_class(group, node, path)


def _other_class(group: str, node: Config, path: str) -> list[str]:
    """An option under a name that is not its own: rows, checks and recipes would take it for another."""
    ours, name, target = targets_of(group), str(node["name"]), node["_target_"]
    if name in OPTIONS[group] and target != ours.get(name):
        return [
            f"{path}._target_={target} is not what {group}={name} builds, {ours.get(name)}; leave it out, or give a "
            f"class of your own a name of its own as well, {path}.name=NAME"
        ]
    if name in OPTIONS[group] or group == "weight":
        return []
    if target is None:
        return [
            f"{path}.name={name} names no class to build; choose {group}=OPTION{did_you_mean(name, OPTIONS[group])}"
        ]
    owners = [known for known, built in ours.items() if built == target]
    if owners and owners[0] in OPTIONS[group]:
        return [f"{path}.name={name} does not change the option; it is {owners[0]}: choose one with {group}=OPTION"]
    return []


def problems_of(schema: type[BaseModel], node: Config, group: str) -> list[str]:
    """What is wrong with a node, a line each; `group` is its path."""
    try:
        schema.model_validate(node)
    except ValidationError as error:
        seen: dict[str, str] = {}  # a union reports one problem for each member: keep the first
        for detail in error.errors(include_url=False):
            loc = [str(part) for part in detail["loc"]]
            field = loc[0] if loc else ""
            depth = (
                2 if _inner(schema, field) or (schema is Run and field in TABLES) else 1
            )  # deeper: members of unions
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
    value = value if _inner(schema, field) or schema is Run else node.get(field, value)
    if kind == "value_error":
        said = str(detail.get("ctx", {})["error"])  # it says all by itself where it names the setting
        return said if "=" in said else f"{path}={_shown(value)} is not allowed: {said}"
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
    return f"; it is text: drop the quotes, {path}={value}, or from the environment ${{oc.decode:${{oc.env:NAME}}}}"


def _no_such_key(schema: type[BaseModel], loc: list[str], path: str, value: Any) -> str:
    """Names the options that have the key, or the key that was probably meant."""
    known = [info.alias or name for name, info in schema.model_fields.items()]
    if len(loc) > 1 and (inner := _inner(schema, loc[0])):
        known = list(inner.model_fields)
    field, group = loc[-1] if len(loc) > 1 else loc[0], path.partition(".")[0]
    if owners := [f"{group}={name}" for name, option in OPTIONS.get(group, {}).items() if _has(option, field)]:
        return f"{path}={_shown(value)}: the chosen option has no setting '{path}'; {' or '.join(owners)} has it"
    near = nearest(field, [*known, "experiment"] if schema is Run else known)
    prefix = path.rpartition(".")[0] + "." if "." in path else ""
    meant = f"+experiment={value}" if near == "experiment" else f"{prefix}{near}"
    hint = f"did you mean {meant}?" if near else f"known: {', '.join(k for k in known if k[0] != '_')}"
    return f"{path}={_shown(value)}: there is no setting '{path}'; {hint}"


def _shown(value: Any) -> str:
    """A value as it is told, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


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
