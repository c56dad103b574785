"""Hydra started from Python: slips are exceptions, and the process is afterwards what it was before."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from hydra.version import VersionBase
from omegaconf import DictConfig

from binlit.command.entry import SLIPS, refused_line
from binlit.command.hydra_errors import translated
from binlit.command.start_checks import check_start
from binlit.command.sweep import FailedJobsError, Job, for_jobs_alone
from binlit.command.words import check_words, flags, own_folders
from binlit.config import check
from binlit.errors import ConfigError
from binlit.paths import config_dir
from binlit.results.folder import FolderError
from binlit.stopping import stopped_behind, stopped_in_python

if TYPE_CHECKING:
    from collections.abc import Callable

    Task = Callable[[DictConfig], Any]

SILENT = ("hydra/job_logging", "hydra/hydra_logging")  # how Python logs is the caller's to say
_one_at_a_time = threading.RLock()  # as Hydra, the threads of torch and its seed are one for the whole process


class Words:
    """The words of a command line, given from Python.

    Attributes:
        settings: the words, without flags.
        folders: the user's folders of options.
        config_name: of the file of conf/ that is begun with.
        multirun: whether -m is among the words.

    Raises:
        TypeError: they are no list of texts.
        ConfigError: one of them is wrong by itself, or a flag that only a command line has.
    """

    def __init__(self, given: Iterable[str]) -> None:
        words = [given] if isinstance(given, str) else list(given)
        if isinstance(given, str) or not all(isinstance(word, str) for word in words):
            raise TypeError(f"settings are a list of texts, such as ['seed=1', 'binary.layer=2'], and not {given!r}")
        read = flags(words)
        for flag, value in vars(read).items():
            if value and flag not in ("overrides", "config_dir", "config_name", "run", "multirun"):
                raise ConfigError(f"--{flag.replace('_', '-')} is a flag of the command line; leave it out")
        self.settings, self.folders = read.overrides, own_folders(words)
        self.config_name, self.multirun = read.config_name or "config", read.multirun
        check_words(self.settings, self.folders)

    @property
    def for_hydra(self) -> list[str]:
        """The settings, with the user's folders among the places of options, and Python's logging left alone."""
        paths = ",".join(f"file://{folder.absolute()}" for folder in self.folders)
        chosen = {word.partition("=")[0] for word in self.settings}
        added = [f"{group}=none" for group in SILENT if group not in chosen]
        return [*self.settings, *([f"hydra.searchpath=[{paths}]"] if paths else []), *added]


def run_one(given: Iterable[str], task: Task) -> tuple[Any, Path]:
    """Runs `task` as a command would; returns what it returned, and the run's folder.

    Raises:
        ConfigError: a word or a setting is wrong, as the command says it.
        Exception: whatever `task` raises.
    """
    words = Words(given)
    if words.multirun:
        raise ConfigError("-m is for several runs; use binlit.sweep")
    with started(words) as starter:
        cfg = hydra.compose(words.config_name, words.for_hydra, return_hydra_config=True)
        if cfg.hydra.mode == RunMode.MULTIRUN:
            raise ConfigError(f"{cfg.name} is an experiment of several runs; use binlit.sweep")
        check_start(check(cfg), words.settings, words.folders)  # Hydra would make a warning of what a callback raises
        # An exception of the task is carried through Hydra as a result: it would print a line of its own about it.
        with _same_torch():
            done = starter.run(words.config_name, _carried(task), words.for_hydra, with_log_configuration=False)
        folder = Path(done.hydra_cfg.hydra.runtime.output_dir)  # type: ignore[union-attr]
        result = done.return_value
    if isinstance(result, Exception):
        raise stopped_behind(result) or result
    return result, folder


def run_jobs(given: Iterable[str], task: Task) -> list[Job]:
    """Runs the jobs of a sweep as a command with -m would; returns all of them, done before or now, or failed.

    Raises:
        ConfigError: a word or a job is wrong, as the command says it; nothing was started.
        RuntimeError: a worker process of the launcher was killed.
    """
    words = Words(given)
    if any(word.startswith("hydra/sweeper=") for word in words.settings):
        raise ConfigError("hydra/sweeper is for the command line; binlit.sweep runs all combinations of the values")
    with started(words) as starter:
        late = for_jobs_alone(words.settings)
        settings = [*(late.get(word, word) for word in words.for_hydra), "hydra.mode=MULTIRUN"]
        try:
            with _same_torch():
                return starter.multirun(words.config_name, task, settings, with_log_configuration=False)
        except FailedJobsError as failed:
            return failed.jobs
        except SystemExit as end:
            if isinstance(end.code, str):
                raise RuntimeError(end.code) from None
            raise


@contextlib.contextmanager
def started(words: Words) -> Iterator[Any]:
    """Hydra, started for the time being; what was set for the whole process is then put back.

    Raises:
        ConfigError: in place of what Hydra or the system say against the words.
    """
    with _one_at_a_time, stopped_in_python():
        outer, base = GlobalHydra.instance().hydra, VersionBase.instance().version_base
        GlobalHydra.instance().clear()
        try:
            with hydra.initialize_config_dir(str(config_dir()), job_name="train", version_base="1.3"):
                starter = GlobalHydra.instance().hydra
                assert starter is not None
                yield starter
        except SLIPS as error:
            raise stopped_behind(error) or ConfigError(translated(error, words.config_name)) from None
        except OSError as error:
            if error.errno is None:
                raise
            raise FolderError(refused_line(error)) from None
        finally:
            GlobalHydra.instance().hydra, VersionBase.instance().version_base = outer, base


@contextlib.contextmanager
def _same_torch() -> Iterator[None]:
    """Puts torch's threads and its state of chance back."""
    import torch

    import binlit.running.build  # noqa: F401  # here, not by load_libraries, which is for a process of one run

    threads = torch.get_num_threads()
    cards = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(cards):
            yield
    finally:
        torch.set_num_threads(threads)


def _carried(task: Task) -> Task:
    def carried(cfg: DictConfig) -> Any:
        try:
            return task(cfg)
        except Exception as error:
            return error

    return carried
