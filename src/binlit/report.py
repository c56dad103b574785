"""Turns the records of a folder into a table: on the console, and as records.jsonl, table.md, table.csv, table.png.

python -m binlit.report outputs/mnist_table
python -m binlit.report outputs/mnist_table --out docs/results/mnist_table
python -m binlit.report outputs/gradients --out docs/results/gradients      a study of gradients

Where runs have something to say beyond the table, a page of it is written as well: episodes.md (few-shot),
evaluations.md (nets that binlit.evaluate tested again).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from binlit import __version__
from binlit.command.entry import USAGE_ERROR, complain
from binlit.command.words import LineParser
from binlit.errors import ConfigError
from binlit.files import check_regular, write_whole
from binlit.paths import MANIFEST, RECORDS
from binlit.results.folder import usable
from binlit.results.record import Record, latest, portable, read_manifest, read_records


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
        check_arguments(args)
        report(args)
    except (FileNotFoundError, ConfigError) as error:
        complain(error)
        return USAGE_ERROR
    return 0


def report(args: argparse.Namespace) -> None:
    """Prints and writes what the arguments ask for.

    Raises:
        FileNotFoundError: there is no record.
        ConfigError: there is nothing to make a table of, a folder cannot be written, or an argument is wrong.
    """
    records = [record for source in args.source for record in read_records(source)]
    out = args.out or (args.source[0] if args.source[0].is_dir() else args.source[0].parent)
    studies = sum("kind" in record for record in records)
    if 0 < studies < len(records):
        raise ConfigError(f"{args.source[0]} holds studies of gradients and runs: report the one or the others")
    with usable(out, "choose another with --out FOLDER"):
        if studies:
            from binlit.laboratory.report import write_study

            write_study(records, out)
        else:
            write_pages(records, out, args)
        if args.into:
            insert_table(args.into, out)


def write_pages(records: list[Record], out: Path, args: argparse.Namespace) -> None:
    """The table of runs, and the pages beside it.

    Raises:
        ConfigError: there are only trial runs, or --against fits no row.
        OSError: `out` cannot be written.
    """
    records = [record for record in latest(records) if not record["config"]["trainer"].get("fast_dev_run")]
    if not records:
        raise ConfigError(f"{args.source[0]} holds trial runs only (fast_dev_run): there is nothing to report")
    noted = [job for source in args.source if source.is_dir() for job in read_manifest(source)]
    expected = list({job["fingerprint"]: job for job in noted}.values())  # two sweeps may have set out to do the same
    write_report(records, expected, out, args.title)
    if args.against:
        write_paired(records, out, args.against)
    if args.sites:
        from binlit.results.sites import SITES, sites_markdown

        write_whole(out / SITES, sites_markdown(records))
        print(f"written: {out / SITES}")
    if args.passes:
        write_passes(records, out)
    if any(record.get("episodes") for record in records):
        write_episodes(records, out, args.title or title_of(records))
    if any(record.get("evaluations") for record in records):
        write_evaluations(records, out, args.title or title_of(records))


def given_path(text: str) -> Path:
    """A path of the command line, which an unset shell variable leaves empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty path (an unset shell variable?); give a folder")
    return Path(text)


def check_arguments(args: argparse.Namespace) -> None:
    """Refuses what could not be written in the end, before anything is read.

    Raises:
        ConfigError: naming the argument.
    """
    out = args.out or (args.source[0] if args.source[0].is_dir() else args.source[0].parent)
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


def title_of(records: list[Record]) -> str:
    """The experiment's name, data set and net."""
    config = records[0]["config"]
    return f"{_experiment(records)} ({config['dataset']['name']}, {config['model']['name']})"


def _experiment(records: list[Record]) -> str:
    return "+".join(sorted({record["experiment"] for record in records}))


def write_report(records: list[Record], expected: list[Record], out: Path, title: str | None = None) -> None:
    """Prints the table, then writes its four files into `out`, each whole or not at all."""
    from binlit.results.picture import to_picture
    from binlit.results.show import footnotes, to_console, to_markdown
    from binlit.results.table import build_table, published_source

    title = title or title_of(records)
    experiment = _experiment(records)
    table = build_table(records, expected, experiment)
    to_console(table, title)
    out.mkdir(parents=True, exist_ok=True)
    order = sorted(records, key=lambda record: (json.dumps(record["row"], sort_keys=True), record["seed"]))
    order = [record | {"config": portable(record["config"])} for record in order]
    write_whole(out / RECORDS, "".join(json.dumps(record, sort_keys=True) + "\n" for record in order))
    write_whole(out / "table.csv", table.to_csv(index=False, float_format="%.6g"))
    write_whole(out / "table.md", to_markdown(table, title, footnotes(order, published_source(experiment))))
    have = {record["fingerprint"] for record in records}
    missing = [job for job in expected if job["fingerprint"] not in have]
    if missing:  # so that the holes stay known beside the table
        write_whole(out / MANIFEST, json.dumps(missing, indent=1) + "\n")
    elif not any(out.glob("*/result.json")):  # a folder of runs keeps what its sweeps set out to do
        (out / MANIFEST).unlink(missing_ok=True)
    to_picture(table, title, out / "table.png")
    print(f"written: {', '.join(str(out / name) for name in (RECORDS, 'table.md', 'table.csv', 'table.png'))}")


def write_paired(records: list[Record], out: Path, against: str) -> None:
    """Writes paired.md, rows against the row where `against` ("anneal=none") holds.

    Raises:
        ConfigError: `against` is no KEY=VALUE, or no row has it.
    """
    from binlit.results.paired import PAIRED, paired_markdown, paired_table

    key, equals, base = against.partition("=")
    if not (key and equals and base):
        raise ConfigError(f"--against {against} must be KEY=VALUE, such as anneal=none")
    try:
        table = paired_table(records, key, base)
    except ValueError as error:
        raise ConfigError(f"--against {against}: {error}") from error
    write_whole(out / PAIRED, paired_markdown(table, key, base))
    print(f"written: {out / PAIRED}")


def write_passes(records: list[Record], out: Path) -> None:
    """Writes passes.md and passes.png."""
    from binlit.results.passes import passes_markdown, passes_picture, passes_table
    from binlit.running.passes import passes_of

    table = passes_table(records, passes_of)
    write_whole(out / "passes.md", passes_markdown(table))
    passes_picture(table, out / "passes.png")
    print(f"written: {out / 'passes.md'}, {out / 'passes.png'}")


def write_episodes(records: list[Record], out: Path, title: str) -> None:
    """Writes episodes.md: few-shot rows against the one with no binary layer, over the same episodes."""
    from binlit.results.episodes import EPISODES, episode_table, episodes_markdown

    write_whole(out / EPISODES, episodes_markdown(episode_table(records), title))
    print(f"written: {out / EPISODES}")


def write_evaluations(records: list[Record], out: Path, title: str) -> None:
    """Writes evaluations.md: what `binlit.evaluate` found for nets that it tested in other ways."""
    from binlit.results.evaluations import EVALUATIONS_PAGE, evaluation_table, evaluations_markdown

    write_whole(out / EVALUATIONS_PAGE, evaluations_markdown(evaluation_table(records), title))
    print(f"written: {out / EVALUATIONS_PAGE}")


def insert_table(page: Path, out: Path) -> None:
    """Puts the table of `out`/table.md between `<!-- table: NAME -->` and `<!-- end of table -->`, NAME being out's.

    Raises:
        ConfigError: the page cannot be read, or has no such marks.
    """
    before, after = around_table(page, out.name)
    rows = [line for line in (out / "table.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    write_whole(page, f"{before}\n\n" + "\n".join(rows) + f"\n\n{after}")


def around_table(page: Path, name: str) -> tuple[str, str]:
    """The page up to its mark `<!-- table: name -->`, and from `<!-- end of table -->` on, both marks included.

    Raises:
        ConfigError: the page cannot be read, or has no such marks.
    """
    start, end = f"<!-- table: {name} -->", "<!-- end of table -->"
    try:
        check_regular(page)
        before, found, rest = page.read_text(encoding="utf-8").partition(start)
    except (OSError, UnicodeDecodeError) as error:
        why = "it is no text" if isinstance(error, ValueError) else (error.strerror or str(error)).lower()
        raise ConfigError(f"{page} cannot be read: {why}; give a Markdown page") from error
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ConfigError(f"{page} has no place for the table: add the lines {start} and {end}")
    return before + start, end + after


if __name__ == "__main__":
    raise SystemExit(main())
