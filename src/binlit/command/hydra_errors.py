"""Hydra's complaints in a line or two: the value, what is allowed, the nearest valid name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from binlit.catalogue import option_meant, packaged
from binlit.catalogue.folders import groups, options_of, read_yaml
from binlit.command.words import ONE_NET, WITH_GROUPS, own_folders
from binlit.config.check import unresolved
from binlit.errors import ConfigError, nearest
from binlit.paths import config_dir

LINES, WIDTH = 3, 600
EXTRAS = {  # option of hydra/launcher or hydra/sweeper: the extra of binlit that brings it
    "joblib": "joblib",
    "ray": "ray",
    "submitit_local": "slurm",
    "submitit_slurm": "slurm",
    "optuna": "optuna",
}


def translated(error: Exception, config_name: str = "config") -> str:
    """At most three lines."""
    lines = [line for line in _translated(error, config_name).splitlines() if line.strip()]
    return "\n".join(line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..." for line in lines[:LINES])


def _translated(error: Exception, config_name: str) -> str:
    text, cause = str(error), error.__cause__
    first = text.splitlines()[0] if text else type(error).__name__
    if isinstance(error, ConfigError) or isinstance(cause, ConfigError):
        return text if isinstance(error, ConfigError) else str(cause)
    if isinstance(error, MissingConfigException):
        return _no_config(error, first)
    if found := re.search(r"Ambiguous value for argument '(.+)'", text):
        key, _, value = found[1].partition("=")
        each = "" if config_name in ONE_NET else f"to run each, add -m: -m {found[1]}; "
        return (
            f"{found[1]} is several values; {each}for one list, write {key}=[{value}]; "
            f"for one text, quote it: \"{key}='{value}'\""
        )
    if found := re.search(r"You must specify '(\w+)'", text):
        return f"{found[1]} has no option; write {found[1]}=OPTION with one of {', '.join(_options(found[1]))}"
    if re.search(r"Could not \w+ ''", text):
        return "a word of the command line names no setting; write KEY=VALUE, or ~KEY to delete one"
    if found := re.search(r"Sweep parameters '(.+)' requires --multirun", text):
        return f"{found[1]} is several values; to run each, add -m: -m {found[1]}"
    if found := re.search(r"The value of '(.+)' is (.*) and not (.*?)\.?$", first):
        return f"~{found[1]}={found[3]} deletes nothing: {found[1]} is {found[2]}; write ~{found[1]}"
    if found := re.search(r"Could not delete(?: from config)?[.:]? '([^'=]+)=?([^']*)'", text):
        return f"~{found[1]} deletes nothing: it is not there, or not {found[2] or 'so'}; leave it out"
    if found := re.search(r"Multiple values for ([\w/@.]+)\.", text):
        return f"{found[1]} is chosen twice; leave one out, and write it without a plus"
    if isinstance(error, ConfigCompositionException) and (found := re.search(r"override '([^']+)'", text)):
        return _no_such_key(found[1], text, config_name)
    inner = cause if isinstance(cause, OmegaConfBaseException) else error
    if isinstance(inner, OmegaConfBaseException) and inner.full_key:
        return unresolved(inner)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; give a folder that can be written into"
    if cause is not None and str(cause):
        return f"{first}\n{str(cause).splitlines()[0]}"
    return (
        f"{type(error).__name__}: {first}; see --help for what there is (HYDRA_FULL_ERROR=1 shows where it came from)"
    )


def _no_config(error: MissingConfigException, first: str) -> str:
    """An option, or a whole config, that is not there."""
    path = Path(error.missing_cfg_file or "")
    group, option = path.parent.as_posix(), path.name
    if group in ("hydra/launcher", "hydra/sweeper") and option in EXTRAS:
        return f"{group}={option} is not installed; run: pip install 'binlit[{EXTRAS[option]}]'"
    if group == ".":
        return f"{first}; leave --config-name and --config-path out, or choose {' or '.join(_configs())}"
    options = _options(group) or [*(error.options or ())]
    hint = option_meant(group, option, options)
    return f"{group}={option} does not exist; choose {', '.join(options) or 'another'}{hint}"


def _configs() -> list[str]:
    return sorted(path.stem for path in config_dir().glob("*.yaml"))


def _options(group: str) -> list[str]:
    return options_of(group, own_folders())


def _no_such_key(key: str, text: str, config_name: str) -> str:
    """A key that the composed config does not have."""
    if config_name not in WITH_GROUPS:
        return _other_command(key, config_name)
    bare, _, package = key.partition("@")
    if package and bare in groups():
        return f"{key}: nothing is chosen for '{package}'; write {bare}=OPTION, or estimator@weight.estimator=OPTION"
    if any(key == f"model.{name}" for one in packaged("model").values() for name in one.facts.takes):
        return f"{key} is no setting: it follows from the data set; leave it out"
    keys = _known_keys()
    group = key.split(".")[0]
    if owners := [f"{group}={option}" for option in sorted(keys.get(key, ())) if option]:
        if re.search(r"Could not append|already", text) or len(owners) == len(_options(group)):
            return f"{key} is there already; write {key}=VALUE, without a plus"
        return f"there is no setting '{key}' with the options that are chosen; {' or '.join(owners)} has it"
    near = nearest(key, keys)
    if key == "experiment" or near == "experiment":
        names = ", ".join(_options("experiment"))
        return f"'{key}' is not in the defaults; write +experiment=NAME, with NAME one of {names}"
    return f"there is no setting '{key}'; " + (
        f"did you mean {near}?" if near else "see --help for those that there are"
    )


def _other_command(key: str, config_name: str) -> str:
    """For a command with a config of its own, whose settings are few."""
    content = OmegaConf.to_container(OmegaConf.load(config_dir() / f"{config_name}.yaml"))
    keys = [one for one in _dotted(content, "") if not one.startswith(("defaults", "hydra"))]
    inside = [one for one in keys if one.startswith(f"{key}.")]
    if inside:
        return f"this command takes no option of the group '{key}'; it has {', '.join(inside)}"
    beside = [one for one in keys if one.rpartition(".")[0] == key.rpartition(".")[0]] or keys
    near = nearest(key, beside)
    hint = f"did you mean {near}?" if near else f"choose {', '.join(beside)}"
    return f"this command has no setting '{key}'; {hint}"


def _known_keys() -> dict[str, set[str]]:
    """Every dotted key that there is in conf/, and the groups themselves; with the options that have it."""
    keys: dict[str, set[str]] = {"experiment": set()}
    for path in config_dir().rglob("*.yaml"):
        group = "" if path.parent == config_dir() else path.parent.relative_to(config_dir()).as_posix()
        if group.startswith(("hydra", "experiment")) or (not group and path.stem != "config"):
            continue
        content = read_yaml(path)
        for key in [*_dotted(content, group), *([group] if group else [])]:
            if not key.startswith(("defaults", "hydra")):
                keys.setdefault(key, set()).update({path.stem} if group else ())
    return dict(sorted(keys.items()))


def _dotted(node: Any, path: str) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        below = f"{path}.{key}" if path else str(key)
        yield below
        yield from _dotted(value, below)
