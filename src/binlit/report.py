"""Turns the records of a folder into a table: on the console, and as records.jsonl, table.md, table.csv, table.png.

python -m binlit.report outputs/mnist_table
python -m binlit.report outputs/mnist_table --out docs/results/mnist_table
python -m binlit.report outputs/gradients --out docs/results/gradients      a study of gradients

Where runs have something to say beyond the table, a page of it is written as well: episodes.md (few-shot),
evaluations.md (nets that binlit.evaluate tested again).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from binlit import __version__
from binlit.command.entry import USAGE_ERROR
from binlit.command.words import LineParser
from binlit.errors import ConfigError, complain
from binlit.results.folder import usable
from binlit.results.record import Record, latest, read_manifest, read_records
from binlit.results.text import around_table, insert_table

if TYPE_CHECKING:
    from binlit.results.page import Page


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 where there is nothing to report."""
    parser = LineParser(prog="python -m binlit.report", description="A table from the records of a folder.")
    parser.add_argument("source", type=given_path, nargs="+", help="folder of runs, of records.jsonl, or a .jsonl file")
    parser.add_argument("--out", type=given_path, help="folder for the table (default: the first source)")
    parser.add_argument("--title", help="default: the experiment's name")
    parser.add_argument("--into", type=given_path, help="Markdown page to put the table into, between its marks")
    parser.add_argument(
        "--against", metavar="KEY=VALUE", help="also paired.md: rows against the one with this, such as anneal=none"
    )
    parser.add_argument("--passes", action="store_true", help="also passes.md and passes.png: accuracy against cost")
    parser.add_argument("--sites", action="store_true", help="also sites.md: bits on and weights flipped, by site")
    parser.add_argument("--version", action="version", version=f"binlit {__version__}")
    try:
        args = parser.parse_args(arguments)
        out = args.out or (args.source[0] if args.source[0].is_dir() else args.source[0].parent)
        check_arguments(args, out)
        report(args, out)
    except (FileNotFoundError, ConfigError) as error:
        complain(error)
        return USAGE_ERROR
    return 0


def report(args: argparse.Namespace, out: Path) -> None:
    """Prints and writes what the arguments ask for.

    Raises:
        FileNotFoundError: there is no record.
        ConfigError: there is nothing to make a table of, a folder cannot be written, or an argument is wrong.
    """
    records = [record for source in args.source for record in read_records(source)]
    with usable(out, "choose another with --out FOLDER"):
        for page in pages_of(records, args):
            if page.applies():
                page.write(out)
        if args.into:
            insert_table(args.into, out)


def pages_of(records: list[Record], args: argparse.Namespace) -> list[Page]:
    """The pages that there may be of these records, in the order in which they are written.

    Raises:
        ConfigError: there are only trial runs, or both runs and studies of gradients.
    """
    from binlit.laboratory.report import Study  # here, as pandas takes longer than a slip of the command line should
    from binlit.results.pages.episodes import Episodes
    from binlit.results.pages.evaluations import Evaluations
    from binlit.results.pages.main_table import MainTable, title_of
    from binlit.results.pages.paired import Paired
    from binlit.results.pages.passes import Passes
    from binlit.results.pages.sites import Sites

    studies = sum("kind" in record for record in records)
    if 0 < studies < len(records):
        raise ConfigError(f"{args.source[0]} holds studies of gradients and runs: report the one or the others")
    if studies:
        return [Study(records)]
    records = [record for record in latest(records) if not record["config"]["trainer"].get("fast_dev_run")]
    if not records:
        raise ConfigError(f"{args.source[0]} holds trial runs only (fast_dev_run): there is nothing to report")
    noted = [job for source in args.source if source.is_dir() for job in read_manifest(source)]
    expected = list({job["fingerprint"]: job for job in noted}.values())  # two sweeps may have set out to do the same
    title = args.title or title_of(records)
    return [
        MainTable(records, title, expected=expected),
        Paired(records, title, args.against),
        Sites(records, title, args.sites),
        Passes(records, title, counted_passes if args.passes else None),
        Episodes(records, title),
        Evaluations(records, title),
    ]


def counted_passes(record: Record) -> int:
    """The passes of a training step, counted on the record's net."""
    from binlit.running.passes import passes_of  # here, as it loads torch

    return passes_of(record)


def given_path(text: str) -> Path:
    """A path of the command line, which an unset shell variable leaves empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty path (an unset shell variable?); give a folder")
    return Path(text)


def check_arguments(args: argparse.Namespace, out: Path) -> None:
    """Refuses what could not be written in the end, before anything is read.

    Raises:
        ConfigError: naming the argument.
    """
    with usable(out, "choose another with --out FOLDER"):
        is_file = args.out is not None and args.out.exists() and not args.out.is_dir()
    if is_file:
        raise ConfigError(f"--out {args.out} is a file; give a folder, such as docs/results/NAME")
    if args.into is not None:
        if not args.into.is_file():
            raise ConfigError(f"--into {args.into} is no file; give the Markdown page that has the table's marks")
        try:
            around_table(args.into, out.name)
        except ValueError as error:
            raise ConfigError(f"--into: {error}") from error
    if args.against is not None and not all(args.against.partition("=")):
        raise ConfigError(f"--against {args.against} must be KEY=VALUE, such as anneal=none")


if __name__ == "__main__":
    raise SystemExit(main())
