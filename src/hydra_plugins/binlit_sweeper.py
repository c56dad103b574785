"""Hydra's basic sweeper, made safe for long tables.

Every job is composed and checked before the first one starts. Jobs that are done already, and jobs that differ only in
settings without effect, are left out. A failed job leaves a record and does not stop the others; the sweep then ends
with status 1. What the sweep set out to run is written to sweep.json, so that the report can show what is missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf


class BinlitSweeper(BasicSweeper):
    """See the module. Options are those of Hydra's basic sweeper."""

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        from binlit.stopping import Stopped

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        loader = self.hydra_context.config_loader
        overrides = OverridesParser.create(config_loader=loader).parse_overrides([*self._parse_config(), *arguments])
        typed = [job for batch in self.split_arguments(overrides, None) for job in batch]
        jobs, apart = self._compose(typed)
        pending = [job for job in jobs if not job.done]
        folders = self._note(jobs)
        print(
            f"{len(typed)} jobs: {len(typed) - len(jobs)} the same as others, {len(jobs) - len(pending)} done already, "
            f"{len(pending)} to run, into {' and '.join(map(str, folders))}",
            flush=True,
        )
        if apart:
            print(
                f"some of these differ in nothing but {', '.join(sorted(apart))}, which changes no result: one of each "
                "was kept; to have them all, start a sweep for each value",
                file=sys.stderr,
            )
        size, returns = self.max_batch_size or max(1, len(pending)), []
        try:
            for start in range(0, len(pending), size):
                words = [job.words for job in pending[start : start + size]]
                returns.append(self.launcher.launch(words, initial_job_idx=start))
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
            sys.exit(1)
        return returns

    def _compose(self, typed: list[list[str]]) -> tuple[list[Job], set[str]]:
        """The jobs of these words, checked, each outcome in each folder once.

        Returns:
            The jobs, and the settings by which those that were left out were meant to be told apart.

        Raises:
            ConfigError: one of them is wrong; nothing was started.
        """
        from binlit.command.before import check_start
        from binlit.config import check, row_of
        from binlit.errors import ConfigError

        assert self.config is not None
        assert self.hydra_context is not None
        loader, jobs, apart = self.hydra_context.config_loader, dict[tuple[Path, str], Job](), set[str]()
        plain: dict[tuple[str, ...], Any] = {}  # the jobs with no binary layer, less what is without effect there
        for words in typed:
            try:
                composed = loader.load_sweep_config(self.config, words)
                cfg = check(composed)
                if row_of(cfg)["layer"] == "none":
                    words = [override for override in words if not _needs_a_binary_layer(override)]
                    if (key := tuple(words)) not in plain:  # composing takes most of a sweep's start
                        plain[key] = loader.load_sweep_config(self.config, words)
                    composed, cfg = plain[key], check(plain[key])
                check_start(cfg, words)
            except ConfigError as error:
                raise ConfigError(f"{error}\n(job {' '.join(words)}; nothing was started)") from error
            job = Job(words, cfg, Path(composed.hydra.sweep.dir), composed.hydra.sweep.subdir)
            apart |= _apart(words, jobs.setdefault((job.folder, job.identity), job).words)
        return list(jobs.values()), apart

    def _note(self, jobs: list[Job]) -> list[Path]:
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
                write_over(folder / "multirun.yaml", OmegaConf.to_yaml(self.config))
                for line in read_manifest(folder):
                    expected.setdefault(line["fingerprint"], line)  # a table may be filled by several sweeps
                write_over(folder / MANIFEST, json.dumps(list(expected.values()), indent=1) + "\n")
        return folders


class Job:
    """One job of a sweep: the words that make its config, and where it lands (folder/subdir)."""

    def __init__(self, words: list[str], cfg: dict[str, Any], folder: Path, subdir: str) -> None:
        from binlit.config import fingerprint

        self.words, self.cfg, self.folder, self.subdir = words, cfg, folder, subdir
        self.identity = fingerprint(cfg)
        self.done = bool(cfg["resume"]) and self.finished()

    def finished(self) -> bool:
        """Whether there is a record of it that ended well."""
        from binlit.results.record import finished

        return finished(self.folder / self.subdir, self.identity) is not None


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _apart(job: list[str], other: list[str]) -> set[str]:
    """The settings by which two jobs of one outcome were meant to be told apart, as a name or a folder."""
    from binlit.config.outcome import WITHOUT_EFFECT

    differing = {override.lstrip("+").partition("=")[0] for override in set(job) ^ set(other)}
    return {key for key in differing if key.partition(".")[0] in WITHOUT_EFFECT}


def _needs_a_binary_layer(override: str) -> bool:
    """Whether an override is without effect in a net with no binary layer.

    Such a job drops it, and so runs under the experiment's own recipe whatever estimator its neighbours sweep.
    """
    key = override.lstrip("+").partition("=")[0]
    return key.split(".")[0] in ("estimator", "anneal") or (key.startswith("binary.") and key != "binary.layer")
