"""Moves what an earlier version of binlit wrote into a folder to this one, so that sweeps know their runs again.

python -m binlit.migrate outputs/mnist_table

Records, tables and checkpoints of earlier versions are read without it. A sweep knows a run by its fingerprint, which
is made in another way since; this gives records, lists of a sweep's jobs and the names of folders the new ones.
"""

from __future__ import annotations

import json
import re
from argparse import RawDescriptionHelpFormatter
from pathlib import Path

from binlit.command.entry import run_plain
from binlit.command.words import LineParser
from binlit.config.outcome import VERSION, run_folder, short, version_of
from binlit.errors import ConfigError, complain
from binlit.files import write_whole
from binlit.paths import MANIFEST, RECORD, RECORDS
from binlit.results.reading import Record, as_lines, read_lines
from binlit.results.record import read_record, write_record
from binlit.results.shape import JOB, RUN, fit


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 where there is no folder to move."""
    parser = LineParser("python -m binlit.migrate", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="of runs, or of records.jsonl")
    return run_plain(lambda args: migrate(args.folders), parser, arguments)


def migrate(folders: list[Path]) -> None:
    """Moves each folder: its records, the folders of its runs, and the lists of its sweeps' jobs.

    Raises:
        ConfigError: one is no folder.
    """
    for top in folders:
        if not top.is_dir():
            raise ConfigError(f"{top} is no folder; give one of runs, or of records.jsonl")
        moved = _move_runs(top) | _move_lines(top)
        _move_begun(top)
        left = sum(_move_jobs(path, moved) for path in top.glob(f"**/{MANIFEST}"))
        print(f"{top}: {len(moved)} records moved to version {VERSION}")
        if left:
            complain(f"{top}: {left} jobs that have no record yet are not noted any more; start their sweep again")


def _move_runs(top: Path) -> dict[str, str]:
    """Moves the runs below a folder; {the old fingerprint: the new one}."""
    moved = {}
    for path in sorted(top.glob(f"**/{RECORD}")):
        before, record = _print_in(path), read_record(path.parent)
        if record is None or before is None or version_of(before) == VERSION:
            continue
        write_record(path.parent, record)
        moved[before] = record["fingerprint"]
        name = path.parent.name
        if name.endswith(f"_{short(before)}"):
            path.parent.rename(path.parent.with_name(name.removesuffix(short(before)) + short(moved[before])))
    return moved


def _move_begun(top: Path) -> None:
    """Gives the folders of runs that were cut off the names by which they are gone on with."""
    begun = [last.parents[1] for last in sorted(top.glob("**/checkpoints/last.ckpt"))]
    begun = [folder for folder in begun if re.search(r"_[0-9a-f]{8}$", folder.name) and not (folder / RECORD).exists()]
    if not begun:
        return
    from binlit.running.checkpoint import read_checkpoint  # here, as it loads torch

    for folder in begun:
        name = run_folder(read_checkpoint(folder / "checkpoints" / "last.ckpt")["config"])
        if name != folder.name and not folder.with_name(name).exists():
            folder.rename(folder.with_name(name))


def _move_lines(top: Path) -> dict[str, str]:
    """Moves the records of a records.jsonl; {the old fingerprint: the new one}."""
    path = top / RECORDS
    if not path.is_file():
        return {}
    before = [json.loads(line).get("fingerprint") for line in path.read_text(encoding="utf-8").splitlines()]
    records: list[Record] = read_lines(path, RUN)
    if len(records) < len(before):
        raise ConfigError(f"{path} has lines that cannot be used; mend or remove them first")
    moved = {old: one["fingerprint"] for old, one in zip(before, records, strict=True) if old != one.get("fingerprint")}
    if moved:
        write_whole(path, as_lines(records))
    return moved


def _move_jobs(path: Path, moved: dict[str, str]) -> int:
    """Moves the jobs of a sweep that have a record; how many were left out."""
    jobs = [fit(JOB, job) for job in json.loads(path.read_text(encoding="utf-8"))]
    kept = [job | {"fingerprint": moved.get(job["fingerprint"], job["fingerprint"])} for job in jobs]
    kept = [job for job in kept if version_of(job["fingerprint"]) == VERSION]
    if kept != jobs:
        write_whole(path, json.dumps(kept, indent=1) + "\n")
    return len(jobs) - len(kept)


def _print_in(path: Path) -> str | None:
    """The fingerprint that a record's file has; None where it is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("fingerprint")
    except (OSError, ValueError, AttributeError):
        return None


if __name__ == "__main__":
    raise SystemExit(main())
