"""A sweeper made safe for long tables; its words mean what they mean to Hydra's own.

Every job is composed and checked before the first one starts. Jobs that are done already, and jobs that differ only in
settings without effect, are left out. A failed job leaves a record and does not stop the others; the sweep then ends
with status 1. What the sweep set out to run is written to sweep.json, so that the report can show what is missing.

Built on Hydra's interface for plugins alone. That is what a sweeper of the documentation is given as well:
`hydra.core.plugins`, `hydra.core.override_parser`, and of the context's config loader `load_sweep_config` and
`get_group_options` (see `binlit.command.sweep`). What Hydra says of these holds within the range in pyproject.toml.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:  # every Hydra program on the machine loads this file, whether it is binlit's or not
    from binlit.command.sweep import Job


class BinlitSweeper(Sweeper):
    """See the module.

    Args:
        max_batch_size: how many jobs the launcher is given at a time; None for all of them.
        params: settings to sweep over, as on the command line, which is stronger.

    Raises:
        ConfigError: one of these is something else.
    """

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, Any] | None = None) -> None:
        from binlit.errors import ConfigError

        if not isinstance(params, Mapping | None):
            raise ConfigError(f"hydra.sweeper.params={params} is no table of settings; see --help for these")
        if max_batch_size is not None and (type(max_batch_size) is not int or max_batch_size < 1):
            raise ConfigError(
                f"hydra.sweeper.max_batch_size={max_batch_size} must be an integer ≥ 1, or null for no limit"
            )
        self.max_batch_size = max_batch_size
        self.params = [f"{key}={value}" for key, value in (params or {}).items()]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> list[Job]:
        """Runs what has still to be run; returns all jobs, for whoever started it from Python.

        Raises:
            ConfigError: a job is wrong; none was started.
            FailedJobsError: some failed; the others were run.
        """
        from binlit.command.sweep import FailedJobsError, checked_jobs, in_trainings, words_of_jobs
        from binlit.stopping import Stopped

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        typed = words_of_jobs(parser.parse_overrides([*self.params, *arguments]))
        jobs, apart = checked_jobs(loader, self.config, typed)
        pending = [job for job in jobs if not job.done]
        trainings = in_trainings(pending)
        folders = _note(self.config, jobs)
        print(
            f"{len(typed)} jobs: {len(typed) - len(jobs)} the same as others, {len(jobs) - len(pending)} done already, "
            f"{len(pending)} to run, into {' and '.join(map(str, folders))}",
            flush=True,
        )
        if len(trainings) < len(pending):
            print(f"{len(pending) - len(trainings)} of them are tested in the training of another", flush=True)
        if apart:
            print(
                f"some of these differ in nothing but {', '.join(sorted(apart))}, which changes no result: one of each "
                "was kept; to have them all, start a sweep for each value",
                file=sys.stderr,
            )
        for first, *rest in trainings:
            _name_companions(first, rest)
        others = [job for _, *rest in trainings for job in rest]
        before = {job.identity: job.record() for job in others}
        returns: list[Sequence[JobReturn]] = []
        try:
            self._launch([first for first, *_ in trainings], returns)
            # Those whose training failed, or was another process's.
            self._launch([job for job in others if not job.finished(other_than=before[job.identity])], returns)
        except Stopped as stopped:
            left = sum(not job.finished() for job in pending)
            stopped.where += f", with {left} of {len(jobs)} jobs to do"
            raise
        except BrokenExecutor as error:
            sys.exit(f"binlit: a worker was killed (out of memory?); the same command goes on. {first_line(error)}")
        failed = [job for batch in returns for job in batch if job.status != JobStatus.COMPLETED]
        for folder in folders:
            print(f"table: python -m binlit.report {folder}", flush=True)
        if failed:
            print(f"{len(failed)} of {len(pending)} jobs failed; their result.json says why", file=sys.stderr)
            raise FailedJobsError(jobs)
        return jobs

    def _launch(self, jobs: list[Job], returns: list[Sequence[JobReturn]]) -> None:
        size, before = self.max_batch_size or max(1, len(jobs)), sum(map(len, returns))
        for start in range(0, len(jobs), size):
            batch = [job.words for job in jobs[start : start + size]]
            assert self.launcher is not None
            returns.append(self.launcher.launch(batch, initial_job_idx=before + start))


def _name_companions(first: Job, others: Sequence[Job]) -> None:
    """Tells the run that is trained which others are its training too."""
    from binlit.results.companions import name_companions

    name_companions(first.folder / first.subdir, [(job.subdir, job.cfg) for job in others])


def _note(sweep: DictConfig, jobs: list[Job]) -> list[Path]:
    """Writes into each folder what is to be run there, beside what earlier sweeps noted; returns the folders.

    Nothing is written where all of it is done and noted: the disk may be full, the folder another's.
    """
    from binlit.config import row_of
    from binlit.files import remove_leftovers
    from binlit.paths import MANIFEST
    from binlit.results.folder import locked, write_over
    from binlit.results.record import read_manifest
    from binlit.results.setting import given, resolved, varying

    differing = varying([given(job.words) for job in jobs])
    folders = list(dict.fromkeys(job.folder for job in jobs))
    for folder in folders:
        own, expected = [job for job in jobs if job.folder == folder], {}
        for job in own:
            if not job.cfg["trainer"].get("fast_dev_run"):  # which no table would miss
                told = {name: value for name, value in given(job.words).items() if name in differing}
                line = {"row": row_of(job.cfg), "seed": job.cfg["seed"], "fingerprint": job.identity}
                expected[job.identity] = line | {"setting": resolved(job.cfg, told)}
        noted = {line["fingerprint"] for line in read_manifest(folder)}
        if all(job.done for job in own) and expected.keys() <= noted:
            remove_leftovers(folder / MANIFEST)
            continue
        with locked(folder):
            write_over(folder / "multirun.yaml", OmegaConf.to_yaml(sweep))
            for line in read_manifest(folder):
                expected.setdefault(line["fingerprint"], line)  # a table may be filled by several sweeps
            write_over(folder / MANIFEST, json.dumps(list(expected.values()), indent=1) + "\n")
    return folders


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
