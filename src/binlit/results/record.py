"""The record of one run: one JSON object, written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from binlit.config import Config, fingerprint, row_of, tested_checkpoint
from binlit.paths import EVALUATIONS, MANIFEST, RECORD, RECORDS, repository

Record = dict[str, Any]
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


def portable(cfg: Config) -> Config:
    """The config without the folders of the machine that it ran on."""
    kept = {key: value for key, value in cfg.items() if key not in ("data_dir", "output_dir")}
    return kept | {"dataset": {key: value for key, value in cfg["dataset"].items() if key != "data_dir"}}


def write_record(folder: Path, record: Record) -> Path:
    """Writes result.json under a temporary name, then renames it: whoever reads sees all of it or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_whole(folder / RECORD, json.dumps(record, indent=1) + "\n")


def write_whole(path: Path, text: str) -> Path:
    """Writes a text file atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path


def read_record(folder: Path) -> Record | None:
    """The folder's record; None where there is none."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def finished(folder: Path, print_of: str) -> Record | None:
    """The record of a run that ended well with this fingerprint; None where it has still to be run."""
    record = read_record(folder)
    return record if record and record["status"] == "ok" and record["fingerprint"] == print_of else None


def set_aside(folder: Path) -> None:
    """Moves what an earlier run left in `folder` into folder/superseded/N, where no report looks."""
    if not (folder / RECORD).exists() and not (folder / "checkpoints").exists():
        return
    old = folder / "superseded"
    target = old / str(1 + max((int(path.name) for path in old.glob("[0-9]*")), default=0))
    target.mkdir(parents=True)
    for path in folder.iterdir():
        if path.name not in ("superseded", ".lock", ".hydra"):
            path.rename(target / path.name)


def read_records(source: Path) -> list[Record]:
    """All records under a folder (result.json files, or records.jsonl), or of one .jsonl file; none kept aside.

    Those of runs that `binlit.evaluate` tested again on the same test set have `evaluations`; those that it tested on
    other kinds of episodes, in the run's own way, have these among their `episodes`.

    Raises:
        FileNotFoundError: there is no record; the message says where it looked.
    """
    if source.is_file():
        return _lines(source)
    records = []
    for folder, record in read_runs(source):
        checkpoint = tested_checkpoint(record["config"])
        tested = [line for line in read_evaluations(folder) if line["checkpoint"] == checkpoint]
        again = [line for line in tested if "episodes" not in line]
        for line in tested:
            if _on_other_episodes(line, record):
                record["episodes"] = line["counts"] | record["episodes"]
        records.append(record | ({"evaluations": again} if again else {}))
    if records:
        return records
    if (source / RECORDS).is_file():
        return read_records(source / RECORDS)
    raise FileNotFoundError(f"no {RECORD} under {source} and no {RECORDS} in it: run something into it first")


def read_runs(source: Path) -> list[tuple[Path, Record]]:
    """The folder and the record of each run under a folder, but for runs kept aside."""
    paths = sorted(path for path in source.glob(f"**/{RECORD}") if "superseded" not in path.parts)
    return [(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in paths]


def latest(records: Sequence[Record]) -> list[Record]:
    """The records without repeats: of several of one run (with the same fingerprint) the newest."""
    by_time = sorted(range(len(records)), key=lambda number: records[number]["finished"])
    newest = {records[number]["fingerprint"]: number for number in by_time}
    return [records[number] for number in sorted(newest.values())]


def read_evaluations(folder: Path) -> list[Record]:
    """What `binlit.evaluate` found for the run in `folder`; where it tested twice in one way, the later test."""
    path = folder / EVALUATIONS
    tests = _lines(path) if path.is_file() else []
    return list({json.dumps(asked_of(test), sort_keys=True): test for test in tests}.values())


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


def _lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def read_manifest(source: Path) -> list[Record]:
    """What the sweep into this folder set out to run: row, seed and fingerprint of each job; [] for no sweep."""
    path = source / MANIFEST
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder for one process; others wait. The lock goes with the process, however it ends.

    A job whose sweep was killed may live on for a while: a second start waits for it and then finds its record.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for the process that is at work in {folder}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


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
                ["git", "-C", str(top), *words], capture_output=True, text=True, check=True, timeout=10
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
