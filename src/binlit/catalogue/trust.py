"""Which classes a config that was read from a file may name: whatever it names is imported and called.

A checkpoint or a record may come from anybody. Its config may name what the options in conf/ name, each in its own
group, and beyond that only what the user's command line names too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from binlit.catalogue import Config
from binlit.catalogue.folders import given_folders
from binlit.errors import ConfigError
from binlit.paths import config_dir

Place = tuple[str, ...]  # keys from the top of a config
Marks = dict[str, Any]  # those of a node's keys that Hydra reads: `_target_`, `_partial_`, ...
TRUST = "if it is your own, write trust=[{name}]"
DEPTH = 16  # of containers in one another; binlit's own configs have 5


def check_classes(cfg: Config, source: object, own: Iterable[str] = (), remedy: str = TRUST) -> list[str]:
    """Refuses a config from a file that would build anything but options of its groups and the user's own classes.

    Args:
        cfg: the config as runs save it, every interpolation resolved; it need not have been checked.
        source: the file, for the message.
        own: dotted names of classes that the user's command line names.
        remedy: what to do about a class that is refused; `{name}` stands for it.

    Returns:
        The classes of `own` that the config names.

    Raises:
        ConfigError: it names another class, has a key of Hydra's that no option of the group has, or interpolates.
    """
    own, found = set(own), []
    try:
        nodes = list(_walk(cfg))
    except ConfigError as error:
        raise ConfigError(f"{source} is refused: {error}") from error
    for place, node in nodes:
        where = ".".join(place) or "its config"
        if isinstance(node, str):
            if "${" in node:
                raise ConfigError(f"{source} is refused: {where}={_short(node)} is to be looked up, and no value")
            continue
        marks = _marks(node)
        name = marks.get("_target_")
        if isinstance(name, str) and name in own:
            found.append(name)
        elif marks and not _has_option(place, node.get("name"), marks):
            if not isinstance(name, str):
                raise ConfigError(f"{source} is refused: no option that binlit has for {where} has {_short(marks)}")
            raise ConfigError(
                f"{source} is refused: {where} names {_short(name)}, which is not among what binlit's options name "
                f"there and could do anything; {remedy.format(name=_short(name))}"
            )
    return list(dict.fromkeys(found))


def own_classes(trust: Iterable[str] = ()) -> set[str]:
    """The classes that the command line names: those of `trust`, and of the options in a folder given by -cd."""
    contents = []
    for path in (path for folder in given_folders() for path in folder.glob("*/*.yaml")):
        with contextlib.suppress(OSError, ValueError, YAMLError, OmegaConfBaseException):  # else no option of any group
            contents.append(_read(path))
    return {*trust}.union(*map(named_classes, contents))


def named_classes(node: Any) -> set[str]:
    """Every class that a config names, wherever it stands."""
    names = (one.get("_target_") for _, one in _walk(node) if isinstance(one, dict))
    return {name for name in names if isinstance(name, str)}


def _has_option(place: Place, name: Any, marks: Marks) -> bool:
    """Whether an option of the group has these marks there: the one of this name, where there is one."""
    group, rest = (place[0], place[1:]) if place else ("", ())
    if rest and rest[0] in _nested(group):
        group, rest = _nested(group)[rest[0]], rest[1:]
    known = [(of, has) for depth, of, has in _options(group) if depth == len(rest)]
    named = [has for of, has in known if of == name and not rest]
    return marks in (named or [has for _, has in known])


@cache
def _options(group: str) -> list[tuple[int, Any, Marks]]:
    """How deep, under which `name`, with which marks: each node of conf/GROUP that Hydra builds."""
    nodes = [(place, node) for content in _files(group) for place, node in _walk(content) if isinstance(node, dict)]
    return [(len(place), node.get("name"), _marks(node)) for place, node in nodes if _marks(node)]


@cache
def _nested(group: str) -> dict[str, str]:
    """{key: group} of the options that those of this group hold, as the estimator in weight=bnn."""
    defaults = [entry for content in _files(group) for entry in content.get("defaults", [])]
    entries = [key for entry in defaults if isinstance(entry, dict) for key in entry]
    return {key.partition("@")[2]: key[1:].partition("@")[0] for key in entries if key[0] == "/" and "@" in key}


@cache
def _files(group: str) -> list[Config]:
    """The option files of a group; none where there is no such group, or in a group that holds no options."""
    folders = {folder.name: folder for folder in config_dir().iterdir() if folder.is_dir()}
    folder = folders.get(group)
    return [_read(path) for path in sorted(folder.glob("*.yaml"))] if folder else []


def _read(path: Path) -> Config:
    content = OmegaConf.to_container(OmegaConf.load(path))
    return content if isinstance(content, dict) else {}  # type: ignore[return-value]


def _marks(node: Config) -> Marks:
    return {key: value for key, value in node.items() if isinstance(key, str) and key[:1] == "_"}


def _walk(node: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every mapping and every string in a config, from the outside in.

    Raises:
        ConfigError: containers are nested deeper than in any config, or hold themselves.
    """
    if len(place) > DEPTH:
        raise ConfigError(f"{'.'.join(place[:3])}... is nested deeper than any setting")
    if isinstance(node, dict | str):
        yield place, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _walk(key, place)
            yield from _walk(value, (*place, str(key)))
    elif isinstance(node, list | tuple | set | frozenset):
        for number, value in enumerate(node):
            yield from _walk(value, (*place, str(number)))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) < 100 else f"{text[:100]}..."
