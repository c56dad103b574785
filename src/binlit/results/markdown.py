"""Tables as GitHub Markdown, and numbers as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[str] = ()) -> list[str]:
    """Its lines; the columns named in `numbers` are set flush right."""
    right = set(numbers)
    return [
        "| " + " | ".join(headings) + " |",
        "|" + "|".join(" ---: " if heading in right else " --- " for heading in headings) + "|",
        *("| " + " | ".join(map(str, row)) + " |" for row in rows),
    ]


def with_interval(mean: float, half: float, digits: int, sign: str = "") -> str:
    """A mean with the half-width of its interval where there is one; sign="+" for a difference."""
    if math.isnan(mean):
        return "–"
    return f"{mean:{sign}.{digits}f}" + ("" if math.isnan(half) else f" ± {half:.{digits}f}")
