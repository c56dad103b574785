"""A table as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[str] = ()) -> list[str]:
    """Its lines; the columns named in `numbers` are set flush right."""
    right = set(numbers)
    return [
        "| " + " | ".join(headings) + " |",
        "|" + "|".join(" ---: " if heading in right else " --- " for heading in headings) + "|",
        *("| " + " | ".join(map(str, row)) + " |" for row in rows),
    ]
