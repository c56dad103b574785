"""The record of one run: one JSON object, written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from binlit.callbacks.options import tested_checkpoint
from binlit.catalogue import Config
from binlit.config import fingerprint, row_of
from binlit.config.outcome import VERSION, version_of
from binlit.files import append_line
from binlit.paths import EVALUATIONS, MANIFEST, RECORD, RECORDS, repository
from binlit.results.folder import usable, write_over
from binlit.results.reading import Record, name, read_lines, read_whole, sealed
from binlit.results.shape import JOB, RUN, TEST, UnfitError, fit

FOUND = ("metrics", "counts")  # what a line of evaluations.jsonl holds beside what was asked for
LIBRARIES = ("binlit", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy")


def new_record(cfg: Config, status: str, device: str | None = None, **content: Any) -> Record:
    """A record of the run of `cfg`: status "ok" or "failed", identity, and `content` (metrics, curve, error, ...).

    `device` is the one that was trained on, as torch names it; None where no training began.
    """
    return {
        "status": status,
        "experiment": cfg["name"],
        "row": row_of(cfg),
        "seed": cfg["seed"],
        "fingerprint": fingerprint(cfg),
        **content,
        "config": portable(cfg),
        "versions": versions(),
        "commit": commit(),
        "hardware": hardware(device),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def finite(value: float) -> float | None:
    """The value, or None where it is no finite number (JSON has no NaN)."""
    return value if math.isfinite(value) else None


def site_figures(entry: Mapping[str, Any], kind: str = "site") -> dict[str, dict[str, float]]:
    """{site: {figure: value}} of one epoch of the curve; of layers with binary weights for the kind `weight`."""
    figures: dict[str, dict[str, float]] = {}
    for key, value in entry.items():
        if key.startswith(f"{kind}/"):
            _, site, figure = key.split("/")
            figures.setdefault(site, {})[figure] = value
    return figures


def portable(cfg: Config) -> Config:
    """The config without the folders of the machine that it ran on."""
    kept = {key: value for key, value in cfg.items() if key not in ("data_dir", "output_dir")}
    return kept | {"dataset": {key: value for key, value in cfg["dataset"].items() if key != "data_dir"}}


def write_record(folder: Path, record: Record) -> Path:
    """Writes result.json, sealed, whole or not at all.

    Raises:
        FolderError: the folder cannot be written, or the disk is full.
    """
    with usable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return write_over(folder / RECORD, json.dumps(sealed(record), indent=1) + "\n")


def read_record(folder: Path) -> Record | None:
    """The folder's record; None where there is none, or none that can be used, which is then named."""
    path = folder / RECORD
    try:
        return read_whole(path, RUN) if os.path.lexists(path) else None
    except UnfitError as error:
        name(path, str(error), "the run counts as unfinished")
        return None


def finished(folder: Path, print_of: str) -> Record | None:
    """The record of a run that ended well with this fingerprint; None where it has still to be run."""
    record = read_record(folder)
    if not record or record["status"] != "ok" or record["fingerprint"] != print_of:
        return None
    if lacking := [key for key in ("curve", "best_epoch", "samples_per_s") if key not in record]:
        name(folder / RECORD, f"it has no {lacking[0]}", "the run counts as unfinished")
        return None
    return record


def read_records(source: Path) -> list[Record]:
    """All records under a folder (result.json files, or records.jsonl), or of one .jsonl file; none kept aside.

    Those of runs that `binlit.evaluate` tested again on the same test set have `evaluations`; those that it tested on
    other kinds of episodes, in the run's own way, have these among their `episodes`. Files and lines that cannot be
    used are named, and left out.

    Raises:
        FileNotFoundError: there is no record; the message says where it looked.
    """
    if source.is_file():
        records = read_lines(source, RUN)
    else:
        records = [_with_tests(folder, record) for folder, record in read_runs(source)]
        if not records and (source / RECORDS).exists():
            records = read_lines(source / RECORDS, RUN)
    if not records:
        raise FileNotFoundError(
            f"no record in {source}"
            if source.is_file()
            else f"no {RECORD} under {source} and no {RECORDS} in it that holds a record: run something into it first"
        )
    return records


def _with_tests(folder: Path, record: Record) -> Record:
    """The record with what `binlit.evaluate` found for its run."""
    checkpoint = tested_checkpoint(record["config"])
    tested = [line for line in read_evaluations(folder) if line["checkpoint"] == checkpoint]
    again = [line for line in tested if "episodes" not in line]
    for line in tested:
        if _on_other_episodes(line, record):
            record["episodes"] = line["counts"] | record["episodes"]
    try:
        return fit(RUN, record | {"evaluations": again}) if again else record
    except UnfitError as error:
        name(folder / EVALUATIONS, str(error), "left out")
        return record


def read_runs(source: Path) -> list[tuple[Path, Record]]:
    """The folder and the record of each run under a folder, but for runs kept aside and records that are not whole."""
    folders = sorted(path.parent for path in source.glob(f"**/{RECORD}*") if path.name == RECORD)  # dead links as well
    folders = [folder for folder in folders if "superseded" not in folder.relative_to(source).parts]
    return [(folder, record) for folder in folders if (record := read_record(folder))]


def latest(records: Sequence[Record]) -> list[Record]:
    """The records without repeats: of several of one run (with the same fingerprint) the newest."""
    by_time = sorted(range(len(records)), key=lambda number: records[number]["finished"])
    newest = {records[number]["fingerprint"]: number for number in by_time}
    return [records[number] for number in sorted(newest.values())]


def read_evaluations(folder: Path) -> list[Record]:
    """What `binlit.evaluate` found for the run in `folder`; where it tested twice in one way, the later test."""
    path = folder / EVALUATIONS
    tests = read_lines(path, TEST) if path.exists() else []
    return list({json.dumps(asked_of(test), sort_keys=True): test for test in tests}.values())


def keep_evaluation(folder: Path, test: Record) -> None:
    """Adds what `binlit.evaluate` found to the run's evaluations.jsonl.

    Raises:
        OSError: it cannot be written, or the disk is full.
    """
    append_line(folder / EVALUATIONS, json.dumps(sealed(test)))


def asked_of(test: Record) -> Record:
    """A line of evaluations.jsonl without what was found: in which way which checkpoint was tested."""
    return {name: value for name, value in test.items() if name not in FOUND}


def _on_other_episodes(test: Record, record: Record) -> bool:
    """Whether a test differs from the run's own in the kind of episodes alone: as many, of as many queries."""
    config, asked = record["config"], test.get("episodes")
    if not asked or "counts" not in test or "episodes" not in record:
        return False
    data, binary = config["dataset"], config["binary"]
    own = (data["query"], data["test_episodes"], binary["eval"], binary.get("eval_draws", 1), config["seed"])
    given = (asked["query"], asked["test_episodes"], test["eval"], test["eval_draws"], test["seed"])
    return given == own and ("weight.eval" not in test or test["weight.eval"] == config["weight"]["eval"])


def read_manifest(source: Path) -> list[Record]:
    """What the sweep into this folder set out to run: row, seed and fingerprint of each job; [] for no sweep.

    A manifest that cannot be used is named, and holds nothing.
    """
    path = source / MANIFEST
    try:
        jobs = read_whole(path) if path.exists() else []
        if not isinstance(jobs, list):
            raise UnfitError("it is no list of jobs")
        known = [fit(JOB, job) for job in jobs]
        current = [job for job in known if version_of(job["fingerprint"]) == VERSION]
        if len(current) < len(known):
            why = f"{len(known) - len(current)} of its jobs were noted by another version"
            name(path, why, f"they are left out; move the folder to this version: python -m binlit.migrate {source}")
        return current
    except UnfitError as error:
        name(path, str(error), "which runs are missing is not known; start the sweep again")
        return []


@cache
def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


@cache
def commit() -> str | None:
    """The repository's commit, with + behind it where files differ from it; None when run from an installed package."""
    top = repository()
    if top is None:
        return None
    try:
        said = [
            subprocess.run(
                ["git", "--no-optional-locks", "-C", str(top), *words],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            ).stdout
            for words in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--", "src", "conf"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return said[0].strip() + ("+" if said[1].strip() else "")


def hardware(device: str | None) -> dict[str, Any]:
    """The machine, and what of it was used: the threads, the device, and the card where that is one."""
    import torch

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "gpu": torch.cuda.get_device_name(device) if device and device.startswith("cuda") else None,
    }


@cache
def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
