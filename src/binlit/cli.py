"""What the entry points share: Hydra started with clear errors, and the check of a config before its run begins."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from binlit.config import (
    Config,
    ConfigError,
    binary_embedding,
    check,
    check_choices,
    fingerprint,
    nearest,
    no_choice,
    run_folder,
    scale_of_bits,
)
from binlit.files import REMEDIES, refusal
from binlit.paths import config_dir

USAGE_ERROR = 2
SLIPS = (ConfigError, HydraException, OmegaConfBaseException)  # of whoever wrote the command line


class CheckBeforeRun(Callback):
    """Refuses a single run whose config is wrong before its folder is made; the sweeper checks the jobs of a sweep."""

    folder = "."  # where this process writes, as far as it is known

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        from binlit.results.record import finished

        try:
            checked = check(config)
            check_choices(checked, config.hydra.overrides.task)
        except ConfigError as error:  # Hydra turns exceptions of callbacks into warnings; an exit it lets through
            complain(error)
            sys.exit(USAGE_ERROR)
        CheckBeforeRun.folder = config.hydra.run.dir
        if checked["resume"] and finished(Path(config.hydra.run.dir), fingerprint(checked)):
            with read_write(config):  # nothing is written: the disk may be full, the folder another's
                config.hydra.output_subdir = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        CheckBeforeRun.folder = config.hydra.sweep.dir


# `${run_folder:}` names the run's folder. Registered on import, so that a launcher's worker process has it as well.
OmegaConf.register_new_resolver("run_folder", lambda *, _root_: run_folder(check(_root_)), replace=True)
# `${by:${estimator.name},{rloo:0.03},0.1}` looks a key up in a table, with a default behind it.
OmegaConf.register_new_resolver(
    "by", lambda key, table, default: table.get(key, default) if isinstance(key, str | int) else default, replace=True
)
# `${given:${binary.weights},0.0,0.5}` is the first where there is a choice, however it is written, else the second.
OmegaConf.register_new_resolver("given", lambda choice, yes, no: no if no_choice(choice) else yes, replace=True)
# `${binary_embedding:0.003,0.001}` is the first where the net's last site is binary, else the second.
OmegaConf.register_new_resolver(
    "binary_embedding", lambda yes, no, *, _root_: yes if binary_embedding(_root_) else no, replace=True
)
# `${scale_of_bits:0.33}` is task.scale where embeddings are bits: 0.33 for each in which two of them differ.
OmegaConf.register_new_resolver("scale_of_bits", lambda each, *, _root_: scale_of_bits(_root_, each), replace=True)
# `${decay:0.0001,${trainer.max_epochs}}` is the factor of an epoch that comes to 0.0001 after all of them.
OmegaConf.register_new_resolver("decay", lambda whole, epochs: whole ** (1 / epochs), replace=True)


def run_hydra(task: Callable[[DictConfig], Any], config_name: str = "config") -> None:
    """Runs `task` under Hydra. A slip in the command line ends with a line or two and status 2, without a traceback."""
    full = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let exceptions reach the lines below instead of Hydra's own report
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(task)()
    except SLIPS as error:
        if full == "1":
            raise
        complain(translated(error, config_name))
        sys.exit(USAGE_ERROR)
    except OSError as error:  # a full disk, a folder that cannot be written
        if full == "1" or error.errno is None:
            raise
        sys.exit(_refused(error))
    finally:
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full


def run_plain(task: Callable[[list[str]], Any], usage: str, arguments: list[str] | None = None) -> int:
    """Runs a command that needs no run folder. Returns the exit status: 0, or 2 after a slip, told in a line or two.

    Args:
        task: takes the words of the command line.
        usage: printed for --help.
        arguments: the words; None for those of this process.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(words):
        print(usage)
        return 0
    try:
        task(words)
    except SLIPS as error:
        complain(translated(error))
        return USAGE_ERROR
    except OSError as error:
        if error.errno is None:
            raise
        return _refused(error)
    return 0


def _refused(error: OSError) -> int:
    """Says in a line what the system refused, and where; the exit status: 1 where waiting may help, else 2."""
    complain(refusal(error, Path(error.filename or CheckBeforeRun.folder), "choose another with output_dir=FOLDER"))
    return 1 if error.errno in REMEDIES else USAGE_ERROR


def composed(words: list[str]) -> Config:
    """The checked config that these words of a command line make, with no run and no folder.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: see `translated`.
    """
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = hydra.compose("config", overrides=words)
    config = check(cfg)
    check_choices(config, words)
    return config


def complain(message: object) -> None:
    """The message on standard error, red in a terminal."""
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}binlit: {message}{plain}", file=sys.stderr)


def translated(error: Exception, config_name: str = "config") -> str:
    """Hydra's complaint in a line or two: the value, what is allowed, the nearest valid name."""
    text = str(error)
    if isinstance(error, ConfigError):
        return text
    if isinstance(error, MissingConfigException) and (
        found := re.search(r"(?:find|load) '([\w/@.\-]+)/([^/']*)'", text)
    ):
        group, option = found.groups()
        return _unknown_option(group, option)
    if isinstance(error, ConfigCompositionException) and (found := re.search(r"override '([^']+)'", text)):
        return _unknown_key(found[1], text) if config_name == "config" else _no_such_key(found[1], config_name)
    if isinstance(error, OverrideParseException):
        return f"cannot read '{getattr(error, 'override', '')}': {text.splitlines()[0]}"
    cause = error.__cause__
    if isinstance(cause, ConfigError):
        return str(cause)
    return "\n".join(line for line in text.splitlines()[:2] if line.strip())


def _unknown_option(group: str, option: str) -> str:
    options = sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))
    near = nearest(option, options)
    hint = f" (did you mean {near}?)" if near else ""
    plus = "+" if group == "experiment" else ""
    return f"{plus}{group}={option} does not exist; choose {', '.join(options)}{hint}"


def _unknown_key(key: str, text: str) -> str:
    keys = _known_keys()
    if owners := [f"{key.split('.')[0]}={option}" for option in sorted(keys.get(key, ())) if option]:
        return f"there is no setting '{key}' with the options that are chosen; {' or '.join(owners)} has it"
    near = nearest(key, keys)
    if key == "experiment" or near == "experiment":
        return f"'{key}' is not in the defaults; write +experiment=NAME, with NAME one of {', '.join(_experiments())}"
    hint = f"did you mean {near}?" if near else text.splitlines()[0]
    return f"there is no setting '{key}'; {hint}"


def _no_such_key(key: str, config_name: str) -> str:
    """For a command with a config of its own, whose settings are few."""
    content = OmegaConf.to_container(OmegaConf.load(config_dir() / f"{config_name}.yaml"))
    keys = [one for one in _dotted(content, "") if not one.startswith(("defaults", "hydra"))]
    near = nearest(key, keys)
    hint = f"did you mean {near}?" if near else f"choose {', '.join(keys)}"
    return f"this command has no setting '{key}'; {hint}"


def _experiments() -> list[str]:
    return sorted(path.stem for path in (config_dir() / "experiment").glob("*.yaml"))


def _known_keys() -> dict[str, set[str]]:
    """Every dotted key that there is in conf/, and the groups themselves; with the options that have it."""
    keys: dict[str, set[str]] = {"experiment": set()}
    for path in config_dir().rglob("*.yaml"):
        group = "" if path.parent == config_dir() else path.parent.relative_to(config_dir()).as_posix()
        if group.startswith(("hydra", "experiment")):
            continue
        content = OmegaConf.to_container(OmegaConf.load(path))
        for key in [*_dotted(content, group), *([group] if group else [])]:
            if not key.startswith(("defaults", "hydra")):
                keys.setdefault(key, set()).update({path.stem} if group else ())
    return dict(sorted(keys.items()))


def _dotted(node: Any, path: str) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        below = f"{path}.{key}" if path else str(key)
        yield below
        yield from _dotted(value, below)
