"""Checks a composed config before anything is built or read, and says in a line or two what to write instead."""

from __future__ import annotations

import copy
import re
from functools import lru_cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from binlit.callbacks.options import part_of, without_idle
from binlit.catalogue import GROUPS, Config, Option, expand, option, packaged, split
from binlit.catalogue.problems import problems_of
from binlit.catalogue.schema import schema_of, schema_of_own
from binlit.config.contradictions import contradictions
from binlit.config.schema import Run
from binlit.config.versions import up_to_date
from binlit.dataset.sizes import channels, image_size
from binlit.device import on_this_machine
from binlit.errors import ConfigError, did_you_mean


def check(cfg: DictConfig | Config) -> Config:
    """The config as plain containers, every interpolation resolved, once it has passed the schema.

    Raises:
        ConfigError: the first few things that are wrong, one line each.
    """
    if isinstance(cfg, DictConfig):
        cfg = on_this_machine(resolved(cfg))
    # Hydra asks for the folder's name, the start for what is wrong, and the run for its config: of one and the same
    return copy.deepcopy(_checked(_Composed(cfg)))


class _Composed:
    """A config as the key of a cache: equal to another one where both say the same."""

    def __init__(self, cfg: Config) -> None:
        self.cfg, self.text = cfg, repr(cfg)

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Composed) and self.text == other.text


@lru_cache(maxsize=1)
def _checked(composed: _Composed) -> Config:
    cfg = composed.cfg
    if isinstance(cfg.get("callbacks"), dict):
        cfg = cfg | {"callbacks": without_idle(cfg["callbacks"])}
    problems, options = problems_of(Run, cfg, ""), dict[str, Option]()
    if not problems:  # what is wrong at the top often comes back in a group that repeats it
        cfg, options = _with_options(up_to_date(cfg))
        for path, one in options.items():
            problems += _option_problems(path, _node(cfg, path), one)
        for group in ("callbacks", "logger"):
            for name, node in cfg[group].items():
                problems += problems_of(part_of(node), node, f"{group}.{name}") if node is not None else []
    if not problems:
        cfg["model"] = cfg["model"] | _derived_of_model(cfg, options["model"])
        problems = list(contradictions(cfg, options))
    if problems:
        raise ConfigError("\n".join(problems[:2]))
    return cfg


def resolved(cfg: DictConfig) -> Config:
    """The config without Hydra's part as plain containers, interpolations resolved.

    Raises:
        ConfigError: a value is missing or cannot be resolved.
    """
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]) if "hydra" in cfg else cfg
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


def _with_options(cfg: Config) -> tuple[Config, dict[str, Option]]:
    """The config with each option's settings alone, and {path: the option that stands there}."""
    cfg, own, options = dict(cfg), dict(cfg.get("own", {})), {}
    for path in [*GROUPS, "weight.estimator"]:
        node = _node(cfg, path)
        if not node:  # a group that records from before it was there lack
            continue
        group = path.rpartition(".")[2]
        if not isinstance(node, dict):
            raise ConfigError(f"{path}={node!r} is no option; choose one with {path}=OPTION")
        settings, facts = split(group, node)
        facts |= own.get(path, {})  # a saved config has them there
        one = options[path] = option(group, settings | facts)
        if one.name == "none" and settings.get("_target_") in [known.target for known in packaged(group).values()]:
            # what another option of the group would set is without effect: a schedule that is for some estimators only
            settings, facts = {"name": one.name, "_target_": one.target}, {}
        if one.own:
            own[path] = facts
        for key, value in ({} if one.own else facts).items():
            if not _states(one, key, value, settings):
                raise ConfigError(f"{path}.{key}={value!r} is what {path}={one.name} is, and no setting; leave it out")
        _put(cfg, path, settings)
    cfg["dataset"] = _numbered_classes(cfg["dataset"], options["dataset"])
    return cfg | ({"own": own} if own else {}), options


def _states(one: Option, key: str, value: Any, settings: Config) -> bool:
    """Whether this is what the option states, names of layers spelled out or not."""
    stated = one.stated.get(key)
    try:
        return str(value) == str(stated) or value == expand(stated, settings)
    except ConfigError:  # settings that names are counted by are missing
        return False


def _derived_of_model(cfg: Config, model: Option) -> Config:
    """The settings of a net that follow from the data set, and `sites` and `layers` spelled out.

    `features.act{1..4}` becomes four names.

    Raises:
        ConfigError: one of them is given, and is another.
    """
    side, colours = image_size(cfg["dataset"]), channels(cfg["dataset"])
    data = {"classes": cfg["dataset"].get("classes", 10), "channels": colours, "image_size": side}
    data["inputs"] = side**2 * colours
    for key in model.facts.takes:
        if (given := cfg["model"].get(key, data[key])) != data[key]:
            raise ConfigError(f"model.{key}={given} is no setting: the data set makes it {data[key]}; leave it out")
    names = {key: expand(getattr(model.facts, key), cfg["model"]) for key in ("sites", "layers")}
    return {key: data[key] for key in model.facts.takes} | names


def _numbered_classes(data: Config, one: Option) -> Config:
    """The data set with `classes=all` as a number.

    Raises:
        ConfigError: there is no such name.
    """
    named, said = getattr(one.facts, "named_classes", {}), data.get("classes")
    if not named or not isinstance(said, str):
        return data
    if said not in named:
        names = f"choose {', '.join(named)}, or a number ≥ 2{did_you_mean(said, named)}"
        raise ConfigError(f"dataset.classes={said} is not allowed; {names}")
    turns = data.get("rotations")
    return data | {"classes": named[said] * (len(turns) if isinstance(turns, list) and turns else 1)}


def _option_problems(path: str, node: Config, one: Option) -> list[str]:
    """Those of one option; an own one's settings are checked where it states their range."""
    group = path.rpartition(".")[2]
    settings = {key: value for key, value in node.items() if key not in one.derived}
    schema = schema_of_own(one) if one.own else schema_of(group, one.name)
    return (
        problems_of(schema, settings, path)
        or _other_class(group, node, path)
        or [
            f"{path}.{key}={node[key]} must be {sign} {path}.{other}={node[other]}"
            for key, sign, other in one.bounds_by_keys
            if not {"<": node[key] < node[other], ">": node[key] > node[other]}[sign]
        ]
    )


def _other_class(group: str, node: Config, path: str) -> list[str]:
    """An option under a name that is not its own: rows, checks and recipes would take it for another."""
    ours, name, target = packaged(group), str(node["name"]), node["_target_"]
    if name in ours and target != ours[name].target:
        return [
            f"{path}._target_={target} is not what {group}={name} builds, {ours[name].target}; leave it out, or give a "
            f"class of your own a name of its own as well, {path}.name=NAME"
        ]
    if name in ours and node.get("_partial_", False) is not ours[name].partial:
        return [f"{path}._partial_={node.get('_partial_')} is part of what {group}={name} is; leave it out"]
    if name in ours or group == "weight":
        return []
    if target is None:
        return [f"{path}.name={name} names no class to build; choose {group}=OPTION{did_you_mean(name, ours)}"]
    if owners := [known for known, one in ours.items() if one.target == target]:
        return [f"{path}.name={name} does not change the option; it is {owners[0]}: choose one with {group}=OPTION"]
    return []


def _node(cfg: Config, path: str) -> Config:
    node: Any = cfg
    for part in path.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node or {}


def _put(cfg: Config, path: str, node: Config) -> None:
    """Sets the node at a path of one or two parts; what stood there is left as it was."""
    group, _, key = path.partition(".")
    cfg[group] = cfg[group] | {key: node} if key else node
