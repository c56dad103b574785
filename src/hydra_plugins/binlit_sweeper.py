"""Hydra's basic sweeper, made safe for long tables.

Every job is composed and checked before the first one starts. Jobs that are done already, and jobs that differ only in
settings without effect, are left out. A failed job leaves a record and does not stop the others; the sweep then ends
with status 1. What the sweep set out to run is written to sweep.json, so that the report can show what is missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf


class BinlitSweeper(BasicSweeper):
    """See the module. Options are those of Hydra's basic sweeper."""

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        from binlit.config import ConfigError, check, check_start, fingerprint, row_of
        from binlit.paths import MANIFEST
        from binlit.results.record import finished, write_whole

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        loader = self.hydra_context.config_loader
        overrides = OverridesParser.create(config_loader=loader).parse_overrides([*self._parse_config(), *arguments])
        jobs = [job for batch in self.split_arguments(overrides, None) for job in batch]

        firsts: dict[str, list[str]] = {}
        apart: set[str] = set()
        pending: list[list[str]] = []
        expected: dict[str, dict[str, Any]] = {}
        trial, done, folder = False, 0, Path(self.config.hydra.sweep.dir)
        for job in jobs:
            try:
                composed = loader.load_sweep_config(self.config, job)
                cfg = check(composed)
                if row_of(cfg)["layer"] == "none":
                    job = [override for override in job if not _needs_a_binary_layer(override)]
                    composed = loader.load_sweep_config(self.config, job)
                    cfg = check(composed)
                check_start(cfg, job)
            except ConfigError as error:
                raise ConfigError(f"{error}\n(job {' '.join(job)}; nothing was started)") from error
            identity, trial = fingerprint(cfg), bool(cfg["trainer"].get("fast_dev_run"))
            if identity in expected:
                apart |= _apart(job, firsts[identity])
                continue
            firsts[identity] = job
            expected[identity] = {"row": row_of(cfg), "seed": cfg["seed"], "fingerprint": identity}
            folder = Path(composed.hydra.sweep.dir)
            if cfg["resume"] and finished(folder / composed.hydra.sweep.subdir, identity):
                done += 1
            else:
                pending.append(job)

        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        known = folder / MANIFEST
        if trial:  # nothing that a table would miss
            expected = {}
        for job in json.loads(known.read_text()) if known.is_file() else []:
            expected.setdefault(job["fingerprint"], job)  # a table may be filled by several sweeps
        write_whole(known, json.dumps(list(expected.values()), indent=1) + "\n")
        print(
            f"{len(jobs)} jobs: {len(jobs) - len(pending) - done} the same as others, {done} done already, "
            f"{len(pending)} to run, into {folder}",
            flush=True,
        )
        if apart:
            print(
                f"some of these differ in nothing but {', '.join(sorted(apart))}, which changes no result: one of each "
                "was kept; to have them all, start a sweep for each value",
                file=sys.stderr,
            )
        size = self.max_batch_size or max(1, len(pending))
        returns = []
        for start in range(0, len(pending), size):
            returns.append(self.launcher.launch(pending[start : start + size], initial_job_idx=start))
        failed = [job for batch in returns for job in batch if job.status != JobStatus.COMPLETED]
        print(f"table: python -m binlit.report {folder}", flush=True)
        if failed:
            print(f"{len(failed)} of {len(pending)} jobs failed; their result.json says why", file=sys.stderr)
            sys.exit(1)
        return returns


def _apart(job: list[str], other: list[str]) -> set[str]:
    """The settings by which two jobs of one outcome were meant to be told apart, as a name or a folder."""
    from binlit.config.identity import WITHOUT_EFFECT

    differing = {override.lstrip("+").partition("=")[0] for override in set(job) ^ set(other)}
    return {key for key in differing if key.partition(".")[0] in WITHOUT_EFFECT}


def _needs_a_binary_layer(override: str) -> bool:
    """Whether an override is without effect in a net with no binary layer.

    Such a job drops it, and so runs under the experiment's own recipe whatever estimator its neighbours sweep.
    """
    key = override.lstrip("+").partition("=")[0]
    return key.split(".")[0] in ("estimator", "anneal") or (key.startswith("binary.") and key != "binary.layer")
