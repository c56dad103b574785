"""What the entry points share: Hydra started with clear errors, and the check of a config before its run begins."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
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
from binlit.catalogue.folders import given_folders
from binlit.command.hydra_errors import translated
from binlit.command.start_checks import check_start
from binlit.command.words import ONE_NET, WITH_GROUPS, LineParser, check_words, flags, own_folders
from binlit.config import check, fingerprint
from binlit.errors import ConfigError, complain
from binlit.files import REMEDIES, refusal
from binlit.paths import config_dir
from binlit.results.folder import REMEDY
from binlit.stopping import stopped_behind

USAGE_ERROR = 2
SLIPS = (ConfigError, HydraException, OmegaConfBaseException)  # of whoever wrote the command line
IN_PLACE = ("hydra.mode=RUN", "hydra.run.dir=.", "hydra.output_subdir=null")  # no sweep, no folder


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
        if (
            config.hydra.output_subdir
            and checked["resume"]
            and finished(Path(config.hydra.run.dir), fingerprint(checked))
        ):
            with read_write(config):  # nothing is written: the disk may be full, the folder another's
                config.hydra.output_subdir = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        CheckBeforeRun.folder = config.hydra.sweep.dir


def run_hydra(task: Callable[[DictConfig], Any], config_name: str = "config") -> None:
    """Runs `task` under Hydra. A slip in the command line ends with a line or two and status 2, without a traceback.

    Whatever goes wrong before the first task begins is a slip.

    Args:
        task: takes the composed config.
        config_name: of a file of conf/, the command's own. One of `ONE_NET` is run once, in no folder of its own, also
            where an experiment is a sweep.
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

    full, given = os.environ.get("HYDRA_FULL_ERROR"), sys.argv
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let exceptions reach the lines below instead of Hydra's own report
    try:
        read = flags(sys.argv[1:])
        if read.version:
            print(f"binlit {__version__}")
            return
        if not (read.help or read.hydra_help or read.shell_completion):
            check_words(read.overrides, own_folders(), has_groups=config_name in WITH_GROUPS)
            if config_name in ONE_NET:
                _keep_in_place(read)
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
        sys.argv = given
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full


def _keep_in_place(read: argparse.Namespace) -> None:
    """Adds `IN_PLACE` to the words of this process, behind those that it was given.

    Raises:
        ConfigError: a sweep is asked for.
    """
    if read.multirun:
        raise ConfigError("this command is about one net; leave -m out, and give one value for each setting")
    if read.cfg is None and read.info is None:
        words = sys.argv[1:]
        at = words.index(read.overrides[-1]) + 1 if read.overrides else len(words)
        sys.argv = [sys.argv[0], *words[:at], *IN_PLACE, *words[at:]]


def run_plain(
    task: Callable[[argparse.Namespace], Any], parser: LineParser, arguments: Sequence[str] | None = None
) -> int:
    """Runs a command that takes folders, which Hydra has no grammar for: the exit status, 0, or 2 after a slip.

    Args:
        task: takes the arguments.
        parser: reads them.
        arguments: the words; None for those of this process.
    """
    parser.add_argument("--version", action="version", version=f"binlit {__version__}")
    try:
        task(parser.parse_args(arguments))
    except ConfigError as error:
        complain(error)
        return USAGE_ERROR
    except OSError as error:
        if error.errno is None:
            raise
        return _refused(error)
    return 0


def refused_line(error: OSError) -> str:
    """What the system refused and where, the run's folder where it does not say, and what to do."""
    return refusal(error, Path(error.filename or CheckBeforeRun.folder), REMEDY)


def _refused(error: OSError) -> int:
    """Says in a line what the system refused, and where; the exit status: 1 where waiting may help, else 2."""
    complain(refused_line(error))
    return 1 if error.errno in REMEDIES else USAGE_ERROR
