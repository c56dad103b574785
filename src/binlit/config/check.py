"""Checks a composed config before anything is built or read, and says in a line or two what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from binlit.catalogue import GROUPS, Option, expand, files, option, packaged, problem, split
from binlit.config.fit import contradictions
from binlit.config.read import Config, channels, image_size
from binlit.config.schema import BINARY, LATER, LATER_BINARY, RUN
from binlit.errors import ConfigError, did_you_mean, nearest

FIXED = ("name", "_target_", "_partial_")


def check(cfg: DictConfig | Config) -> Config:
    """The config as plain containers, every interpolation resolved and all that follows from others filled in.

    What options of the user's own state of themselves stands under `own`.

    Raises:
        ConfigError: the first few things that are wrong, one line each.
    """
    cfg = resolved(cfg) if isinstance(cfg, DictConfig) else cfg
    cfg = LATER | cfg
    problems = list(_misplaced("", cfg, RUN, {**RUN, "own": ""}))
    if not problems:
        cfg["binary"] = LATER_BINARY | cfg["binary"]
        problems = list(_misplaced("binary.", cfg["binary"], BINARY, BINARY))
    if problems:
        raise ConfigError("\n".join(problems[:2]))
    cfg, options = _with_options(cfg)
    problems = [line for path, one in options.items() for line in _unfit_settings(path, _node(cfg, path), one)]
    problems = problems or list(contradictions(cfg, options))
    if problems:
        raise ConfigError("\n".join(problems[:2]))
    return cfg


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


def _with_options(cfg: Config) -> tuple[Config, dict[str, Option]]:
    """The config with each option's settings alone, and {path: the option that stands there}."""
    cfg, own, options = dict(cfg), dict(cfg.get("own", {})), {}
    for path in [*GROUPS, "weight.estimator"]:
        node = _node(cfg, path)
        if not node:  # a group that records from before it was there lack
            continue
        group = path.rpartition(".")[2]
        settings, facts = split(group, node)
        facts |= own.get(path, {})  # a saved config has them there
        one = options[path] = option(group, settings | facts)
        if one.name == "none":  # nothing is built, so nothing is set
            settings, facts = {"name": one.name, "_target_": one.target}, {}
        if one.own:
            own[path] = facts
        for key, value in ({} if one.own else facts).items():
            if str(value) not in (str(one.stated.get(key)), str(expand(one.stated.get(key, ""), settings))):
                raise ConfigError(f"{path}.{key}={value!r} is what {path}={one.name} is, and no setting; leave it out")
        known = {key: value for key, value in one.defaults.items() if "${" not in str(value)}
        _put(cfg, path, settings | {key: known[key] for key in known if key not in settings})
    cfg["dataset"] = _numbered_classes(cfg["dataset"], options["dataset"])
    cfg["model"] = cfg["model"] | _following(cfg, options["model"])
    return cfg | ({"own": own} if own else {}), options


def _following(cfg: Config, model: Option) -> Config:
    """The settings of a net that follow from its widths and from the data set.

    Raises:
        ConfigError: one of them is given, and is another.
    """
    side, colours = image_size(cfg), channels(cfg)
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


def _unfit_settings(path: str, node: Config, one: Option) -> Iterable[str]:
    """What is wrong with an option's settings, one by one and against each other."""
    ranges = one.ranges
    known = {*FIXED, *ranges, *getattr(one.facts, "takes", ()), *(("sites", "layers") if path == "model" else ())}
    settings = {key: value for key, value in node.items() if key not in known - set(ranges)}
    if not one.own:
        if node.get("_target_") != one.target:
            yield (
                f"{path}._target_={node.get('_target_')}: {path}={one.name} is {one.target}; give an option of your "
                "own another name"
            )
        yield from _misplaced(f"{path}.", settings, ranges, ranges)
    else:
        given = {key: text for key, text in ranges.items() if key in settings}
        yield from filter(None, (problem(f"{path}.{key}", settings[key], text) for key, text in given.items()))
    for key, sign, other in one.bounds_by_keys:
        if key in node and other in node and not _holds(node[key], sign, node[other]):
            yield f"{path}.{key}={node[key]} must be {sign} {path}.{other}={node[other]}"


def _holds(value: Any, sign: str, bound: Any) -> bool:
    return {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[sign]


def _misplaced(prefix: str, node: Config, ranges: Mapping[str, str], known: Mapping[str, str]) -> Iterable[str]:
    """Settings that do not exist, are missing, or have a value that is not allowed."""
    for key in node:
        if key not in known:
            yield _no_setting(f"{prefix}{key}", node[key], known)
    for key, text in ranges.items():
        if key not in node:
            options = list(files(key))[:3] if key in GROUPS else []
            yield f"{prefix}{key} is missing; " + (
                f"choose an option of the group, such as {', '.join(options)}" if options else f"give {text}"
            )
        elif wrong := problem(f"{prefix}{key}", node[key], text):
            yield wrong


def _no_setting(path: str, value: Any, known: Iterable[str]) -> str:
    """The setting does not exist here: which option of the group has it, or what was probably meant."""
    group, _, key = path.rpartition(".")
    options = packaged(group) if group in GROUPS else {}
    if owners := [f"{group}={name}" for name, one in options.items() if key in one.ranges]:
        return f"{path}={value!r}: the chosen option has no setting '{path}'; {' or '.join(owners)} has it"
    near = nearest(key, [*known, *([] if group else ["experiment"])])
    meant = f"+experiment={value}" if near == "experiment" else f"{group}.{near}" if group else near
    hint = f"did you mean {meant}?" if near else f"known: {', '.join(known)}"
    return f"{path}={value!r}: there is no setting '{path}'; {hint}"


def _node(cfg: Config, path: str) -> Config:
    node: Any = cfg
    for part in path.split("."):
        node = (node or {}).get(part)
    return node or {}


def _put(cfg: Config, path: str, node: Config) -> None:
    """Sets the node at a path of one or two parts; what stood there is left as it was."""
    group, _, key = path.partition(".")
    cfg[group] = cfg[group] | {key: node} if key else node
