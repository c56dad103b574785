"""What the words of a command line say by themselves, before Hydra composes a config of them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, OverrideType, Sweep
from hydra.errors import HydraException

from binlit.catalogue import option_meant
from binlit.catalogue.folders import groups, options_of
from binlit.errors import ConfigError, did_you_mean, nearest

INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
WITH_GROUPS = ("config", "summary")  # files of conf/ that choose options of groups
ONE_NET = ("export", "summary")  # files of conf/ of commands that are about one net, and sweep nothing
TOGETHER = ("callbacks", "logger")  # groups of parts by name, of which several options may be chosen


class LineParser(argparse.ArgumentParser):
    """Raises what is wrong as a ConfigError of one line, where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see --help")


def flags(words: Sequence[str]) -> argparse.Namespace:
    """Hydra's flags, read so that a slip is told in a line; `overrides` are the other words.

    Raises:
        ConfigError: a flag does not exist, lacks its value, or stands between the settings.
    """
    parser = LineParser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    for names in (
        ("--help", "-h"), ("--hydra-help",), ("--version",), ("--resolve",), ("--run", "-r"), ("--multirun", "-m"),
        ("--shell-completion", "-sc"),
    ):  # fmt: skip
        parser.add_argument(*names, action="store_true")
    for names in (
        ("--package", "-p"), ("--config-path", "-cp"), ("--config-name", "-cn"), ("--config-dir", "-cd"),
        ("--experimental-rerun",),
    ):  # fmt: skip
        parser.add_argument(*names)
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=INFO)
    known = [name for action in parser._actions for name in action.option_strings]
    for word in words:
        name = word.partition("=")[0]
        if word.startswith("-") and name not in known:
            bare = word.lstrip("-")
            if "=" in word:
                raise ConfigError(f"{word} is no flag; a setting has no dash before it: {bare}")
            long = [flag for flag in known if flag.startswith("--")]
            raise ConfigError(f"{word} is no flag{did_you_mean(word, long)}; see --help, or -m, -cd FOLDER, --cfg job")
    read, rest = parser.parse_known_args(list(words))
    if rest:
        raise ConfigError(f"{rest[0]} stands behind a flag that comes in the middle; put flags first, such as -m")
    if read.config_dir is not None and not Path(read.config_dir).is_dir():
        raise ConfigError(f"--config-dir {read.config_dir} is no folder; give the one that holds your groups")
    return read


def own_folders(words: Sequence[str] | None = None) -> list[Path]:
    """The user's folders of options, given as -cd or in hydra.searchpath."""
    words = sys.argv[1:] if words is None else words
    found = [b for a, b in pairwise(words) if a in ("-cd", "--config-dir")]
    found += [word.partition("=")[2] for word in words if word.startswith(("--config-dir=", "-cd="))]
    for word in words:
        if word.lstrip("+").startswith("hydra.searchpath="):
            entries = word.partition("=")[2].strip("[]'\"").split(",")
            found += [entry.strip().removeprefix("file://") for entry in entries if "pkg://" not in entry]
    return [Path(folder) for folder in found]


def check_words(words: Iterable[str], folders: Sequence[Path], has_groups: bool = True) -> None:
    """Refuses words that cannot be read, say a thing twice, or choose what a group does not have.

    Args:
        words: the settings of a command line, without flags.
        folders: where options are, beside conf/.
        has_groups: whether the command's config chooses options of groups.

    Raises:
        ConfigError: naming the word, and what to write.
    """
    parser, seen, words = OverridesParser.create(), dict[tuple[str, str | None], str](), list(words)
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(
                f"the search path names {folder}, which is no folder; give the one that holds your groups"
            )
    for word in words:
        try:
            override = parser.parse_override(word)
        except HydraException as error:
            raise ConfigError(_unreadable(word, folders)) from error
        key = override.key_or_group, override.package
        if override.type is not OverrideType.DEL:
            if key in seen:
                raise ConfigError(f"{key[0]} is given twice, as {seen[key]} and as {word}; leave one out")
            seen[key] = word
        group, _, field = override.key_or_group.partition(".")
        if group == "hydra" and field.endswith("dir") and override.value() == "":
            raise ConfigError(f"{word} is empty (an unset shell variable?); give a path")
        if isinstance(override.value(), Glob) and (field or group not in groups()):
            raise ConfigError(f"{word}: glob is for options of a group; write the values, with commas between")
        if has_groups and group in groups():
            if field == "name" and not any(other.lstrip("+").startswith(f"{group}._target_=") for other in words):
                raise ConfigError(f"{word} renames the option and chooses none; write {group}=OPTION")
            if not field:
                _check_choice(override, word, folders)


def check_choice(group: str, choice: str, folders: Sequence[Path] | None = None) -> None:
    """Refuses an option that does not exist, also where Hydra lets it pass because the group is optional.

    Raises:
        ConfigError: naming the options that there are.
    """
    options = options_of(group, own_folders() if folders is None else folders)
    if choice in options or "${" in choice or choice.startswith("["):
        return
    plus = "+" if group == "experiment" else ""
    raise ConfigError(
        f"{plus}{group}={choice} does not exist; choose {', '.join(options)}{option_meant(group, choice, options)}"
    )


def _check_choice(override: Override, word: str, folders: Sequence[Path]) -> None:
    group, value = override.key_or_group, override.value()
    if override.type is OverrideType.DEL:
        return
    bare = word.lstrip("+")
    if override.is_force_add() or (override.is_add() and group != "experiment" and override.package in (None, group)):
        right = f"+{bare}" if group == "experiment" else bare
        if override.package is None:
            raise ConfigError(f"{word} adds a group that is there already; write {right}")
    if override.is_add() and override.package not in (None, group):
        raise ConfigError(f"{word} puts one option into another; write {group}={value}, or leave it out")
    if isinstance(value, Glob):
        choices: list[Any] = value.filter(options_of(group, folders)) or [None]
    elif isinstance(value, Sweep):
        choices = list(value.list) if isinstance(value, ChoiceSweep) else []
        choices = [getattr(choice, "text", choice) for choice in choices]
    elif isinstance(value, list) and group in TOGETHER:
        choices = [getattr(choice, "text", choice) for choice in value]
    else:
        choices = [value]
    for choice in choices:
        if not isinstance(choice, str) or not choice:
            raise ConfigError(
                f"{word} chooses no option: one name is wanted, of {', '.join(options_of(group, folders))}"
                + ("; to run several, -m and names with commas between" if isinstance(choice, list) else "")
            )
        if (inner := re.search(r"\$\{(.*?)\}", choice)) and inner[1] not in groups():
            raise ConfigError(f"{word} cannot be made out before options are chosen; write the option's name")
        check_choice(group, choice, folders)


def _unreadable(word: str, folders: Sequence[Path]) -> str:
    """What to write for a word that Hydra's grammar does not take."""
    key, equals, value = word.partition("=")
    if not equals:
        first, _, second = word.partition("/")
        if first.lstrip("+") in groups() and second:
            return f"'{word}' has no =; write {first}={second}"
        if (near := nearest(word, experiments := options_of("experiment", folders))) and word in experiments:
            return f"'{word}' is no setting; write +experiment={near}"
        return f"'{word}' has no value; write {word}=VALUE" if key else "there is an empty word; leave it out"
    if not re.fullmatch(r"[+~]{0,2}[A-Za-z_][\w./$-]*(@[\w.:$-]*)?", key):
        return f"cannot read '{word}': '{key}' is no name of a setting; write NAME=VALUE, names as in --help"
    mark = '"' if "'" in value else "'"
    if value[:1] in "[{(\"'" and value[:1]:
        return f"cannot read the value in '{word}': close what is opened by {value[0]}, and quote blanks, = and :"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"') if mark == '"' else value.replace("\\", "\\\\")
    inner = f"{key}={mark}{escaped}{mark}"
    outer = "'" if mark == '"' and "'" not in inner else '"'
    return f"cannot read the value in '{word}'; quote it, once for Hydra and once for the shell: {outer}{inner}{outer}"
