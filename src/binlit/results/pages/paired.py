"""Rows against a base row, seed by seed: what a setting changes, with the noise that both share taken out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from binlit.errors import ConfigError
from binlit.interval import interval
from binlit.results.page import Page
from binlit.results.reading import Record
from binlit.results.table import RowKey, row_key
from binlit.results.text import markdown_page, markdown_table, with_interval

FIGURES = ("n", "difference", "difference_ci95", "flat", "flat_base")
NOTE = (
    "points: accuracy less that of the base row with the same seed, mean ± half-width of the 95 % t interval "
    "over seeds; bold where the interval leaves 0 out. dead zone: share of units in the flat part of the surrogate "
    "after the last epoch, mean over the row's binary sites."
)


class Paired(Page):
    """Rows against the row where `asked` ("anneal=none") holds."""

    name = "paired"

    def frame(self) -> pd.DataFrame:
        """Each row less the row that differs in the asked key alone; paired by seed.

        Failed runs and those with no binary layer are left out.

        Returns:
            Columns: the row's keys; n (pairs); difference (points of accuracy) and difference_ci95 (half-width of the
            95 % t interval over pairs); flat and flat_base (share of units in the dead zone after the last epoch, mean
            over the row's sites and runs; NaN where it was not logged).

        Raises:
            ConfigError: no row has the asked value.
        """
        key, _, base = self.asked.partition("=")
        rows: dict[RowKey, dict[int, Record]] = {}
        for record in self.records:
            if record["status"] == "ok" and record["row"]["layer"] != "none":
                rows.setdefault(row_key(record["row"]), {})[record["seed"]] = record
        lines = []
        for row, mine in rows.items():
            theirs = rows.get(tuple((name, base if name == key else value) for name, value in row), {})
            seeds = sorted(set(mine) & set(theirs))
            if dict(row).get(key, base) == base or not seeds:
                continue
            points = [100 * (mine[s]["metrics"]["test/acc"] - theirs[s]["metrics"]["test/acc"]) for s in seeds]
            flat = [_flat([runs[s] for s in seeds]) for runs in (mine, theirs)]
            lines.append(dict(row) | dict(zip(FIGURES, (len(seeds), *interval(points), *flat), strict=True)))
        if not lines:
            known = ", ".join(sorted({dict(row).get(key, "?") for row in rows}))
            raise ConfigError(f"--against {self.asked}: {key}={base} has no row to compare with; {key} is {known} here")
        table = pd.DataFrame(lines)
        by = [name for name in ("net", key, "mode", "layer") if name in table]
        return table.sort_values(by, ignore_index=True, key=_in_order)

    def markdown(self, frame: pd.DataFrame) -> str:
        """An interval that leaves 0 out is bold."""
        key, _, base = self.asked.partition("=")
        keys = list(frame.columns[: frame.columns.get_indexer(["n"])[0]])
        headings = [*keys, "n", f"points against {key} {base}", "dead zone", f"dead zone, {base}"]
        rows = []
        for line in frame.to_dict("records"):
            said = with_interval(line["difference"], line["difference_ci95"], 2, "+")
            said = f"**{said}**" if abs(line["difference"]) > line["difference_ci95"] else said
            shares = ["–" if np.isnan(line[name]) else f"{100 * line[name]:.0f} %" for name in ("flat", "flat_base")]
            rows.append([*(line[name] for name in keys), line["n"], said, *shares])
        table = markdown_table(headings, rows, headings[len(keys) :])
        return markdown_page(f"# Against {self.asked}, paired by seed", table, NOTE)


def _in_order(column: pd.Series) -> pd.Series:
    """Numbers by their value, all else by the letter."""
    try:
        return column.astype(float)
    except ValueError:
        return column


def _flat(records: Sequence[Record]) -> float:
    shares = [
        value
        for record in records
        for name, value in (record.get("curve") or [{}])[-1].items()
        if name.endswith("/flat")
    ]
    return float(np.mean(shares)) if shares else float("nan")
