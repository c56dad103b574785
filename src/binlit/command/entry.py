"""What the entry points share: Hydra started with clear errors, and the check of a config before its run begins."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, read_write
from omegaconf.errors import OmegaConfBaseException

from binlit import __version__
from binlit.catalogue import Config
from binlit.catalogue.folders import given_folders
from binlit.command.answers import translated
from binlit.command.before import check_start
from binlit.command.words import check_words, flags, own_folders
from binlit.config import check, fingerprint
from binlit.errors import ConfigError
from binlit.errors import complain as complain
from binlit.files import REMEDIES, refusal
from binlit.paths import config_dir
from binlit.stopping import stopped_behind

USAGE_ERROR = 2
SLIPS = (ConfigError, HydraException, OmegaConfBaseException)  # of whoever wrote the command line


class CheckBeforeRun(Callback):
    """Refuses a single run whose config is wrong before its folder is made; the sweeper checks the jobs of a sweep."""

    folder = "."  # where this process writes, as far as it is known

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        from binlit.results.record import finished

        try:
            checked = check(config)
            check_start(checked, config.hydra.overrides.task, given_folders(config.hydra.runtime.config_sources))
        except ConfigError as error:  # Hydra turns exceptions of callbacks into warnings; an exit it lets through
            complain(error)
            sys.exit(USAGE_ERROR)
        CheckBeforeRun.folder = config.hydra.run.dir
        if checked["resume"] and finished(Path(config.hydra.run.dir), fingerprint(checked)):
            with read_write(config):  # nothing is written: the disk may be full, the folder another's
                config.hydra.output_subdir = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        CheckBeforeRun.folder = config.hydra.sweep.dir


def run_hydra(task: Callable[[DictConfig], Any], config_name: str = "config") -> None:
    """Runs `task` under Hydra. A slip in the command line ends with a line or two and status 2, without a traceback.

    Whatever goes wrong before the first task begins is a slip.
    """
    began = False

    @functools.wraps(task)
    def begun(cfg: DictConfig) -> Any:
        nonlocal began
        began = True
        try:
            return task(cfg)
        except Exception as error:
            if (stopped := stopped_behind(error)) is not None:
                raise stopped from None
            if not isinstance(error, SLIPS) or full == "1" or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            complain(translated(error, config_name))  # here, because Hydra would announce it in a line of its own
            sys.exit(USAGE_ERROR)

    full = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let exceptions reach the lines below instead of Hydra's own report
    try:
        read = flags(sys.argv[1:])
        if read.version:
            print(f"binlit {__version__}")
            return
        if not (read.help or read.hydra_help or read.shell_completion):
            check_words(read.overrides, own_folders(), has_groups=config_name == "config")
        if read.multirun and not (read.cfg or read.info):
            from binlit.command.sweep import for_jobs_alone

            late = for_jobs_alone(read.overrides)
            sys.argv = [late.get(word, word) for word in sys.argv]
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(begun)()
    except Exception as error:
        if (stopped := stopped_behind(error)) is not None:
            raise stopped from None
        if full == "1":
            raise
        if isinstance(error, OSError) and error.errno is not None:  # a full disk, a folder that cannot be written
            sys.exit(_refused(error))
        if began and not isinstance(error, SLIPS):
            raise
        complain(translated(error, config_name))
        sys.exit(USAGE_ERROR)
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
    if {"-h", "--help", "--version"} & set(words):
        print(usage if {"-h", "--help"} & set(words) else f"binlit {__version__}")
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
    """The checked config that these words of a command line make, with no run and no folder; -cd as in binlit.train.

    Raises:
        ConfigError: a word or a setting is wrong.
    """
    read, folders = flags(words), own_folders(words)
    check_words(read.overrides, folders)
    paths = [f"hydra.searchpath=[{','.join(f'file://{folder.absolute()}' for folder in folders)}]"] if folders else []
    try:
        with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
            cfg = hydra.compose(read.config_name or "config", overrides=[*read.overrides, *paths])
    except Exception as error:
        raise ConfigError(translated(error)) from error
    config = check(cfg)
    check_start(config, read.overrides, folders)
    return config
