"""Tables and numbers as text: in a page of GitHub Markdown, and on the console."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from binlit.errors import ConfigError
from binlit.files import check_regular, write_whole

if TYPE_CHECKING:
    import pandas as pd


def markdown_page(*parts: str) -> str:
    """Headings, tables and paragraphs as a page, with an empty line between them."""
    return "\n\n".join(parts) + "\n"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: Collection[str] = ()) -> str:
    """A table; the columns named in `numbers` are set flush right."""
    lines = [
        "| " + " | ".join(headings) + " |",
        "|" + "|".join(" ---: " if heading in numbers else " --- " for heading in headings) + "|",
        *("| " + " | ".join(map(str, row)) + " |" for row in rows),
    ]
    return "\n".join(lines)


def print_table(text: pd.DataFrame, title: str, numbers: Collection[str], alarming: Collection[str] = ()) -> None:
    """Prints a frame of texts; the columns named in `numbers` are set flush right, those in `alarming` red."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    for name in text.columns:
        shown.add_column(name, justify="right" if name in numbers else "left", style="red" if name in alarming else "")
    for row in text.itertuples(index=False):
        shown.add_row(*row)
    Console(width=None if Console().is_terminal else 160).print(shown)


def with_interval(mean: float, half: float, digits: int, sign: str = "") -> str:
    """A mean with the half-width of its interval where there is one; sign="+" for a difference."""
    if math.isnan(mean):
        return "–"
    return f"{mean:{sign}.{digits}f}" + ("" if math.isnan(half) else f" ± {half:.{digits}f}")


def number(value: float, form: str) -> str:
    """The number as the format says; – where there is none."""
    return "–" if math.isnan(value) else format(value, form)


def key_text(name: str, value: object) -> str:
    """A row's key as a table shows it."""
    return "–" if str(value) == "none" and name != "layer" else str(value)


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
