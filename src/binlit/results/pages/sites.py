"""What bits and weights do at each site in the last epoch: how many are on, get no gradient, flip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from binlit.results.page import Page
from binlit.results.record import site_figures
from binlit.results.table import key_columns, runs_by_row
from binlit.results.text import markdown_page, markdown_table

SHARES = (
    ("site", "ones", "Share of bits that are on"),
    ("site", "flat", "Share of units in the flat part of their surrogate"),
    ("weight", "flips", "Share of weights that flipped"),
)
FIGURES = ("figure", "n", "watched", "per_cent")


class Sites(Page):
    """A table of each share that the records have: rows by site, means over the runs of a row."""

    name = "sites"

    def frame(self) -> pd.DataFrame:
        """The shares of the last epoch; failed runs, and those that watched nothing, are left out.

        Returns:
            One line for each share, row, and site or layer: figure (the share, in words), the row's keys, n (runs),
            watched (the site, or the layer with binary weights), per_cent (mean over runs; NaN where not logged).
        """
        rows = sorted(runs_by_row([record for record in self.records if record["status"] == "ok"]).items())
        lines = []
        for kind, figure, heading in SHARES:
            for row, runs in rows:
                last = [site_figures((run.get("curve") or [{}])[-1], kind) for run in runs]
                last = [figures for figures in last if figures]
                for site in sorted({site for figures in last for site in figures}):
                    values = np.array([figures.get(site, {}).get(figure) for figures in last], dtype=float)
                    mean = 100 * float(np.mean(values))
                    lines.append(dict(row) | dict(zip(FIGURES, (heading, len(last), site, mean), strict=True)))
        keys = sorted({name for line in lines for name in line if name not in FIGURES})
        return pd.DataFrame(lines, columns=[*keys, *FIGURES]).fillna(dict.fromkeys(keys, ""))

    def markdown(self, frame: pd.DataFrame) -> str:
        """A part for each share, in per cent."""
        parts = []
        for heading, lines in frame.groupby("figure", sort=False):
            keys = [key for key in key_columns(lines, FIGURES) if set(lines[key]) != {""}]
            sites = sorted(set(lines["watched"]))
            rows: dict[tuple[Any, ...], dict[str, float]] = {}
            for line in lines.to_dict("records"):
                rows.setdefault((*(line[key] for key in keys), line["n"]), {})[line["watched"]] = line["per_cent"]
            body = [[*row, *(_per_cent(shares.get(site, np.nan)) for site in sites)] for row, shares in rows.items()]
            parts += [f"# {heading}, last epoch (%)", markdown_table([*keys, "n", *sites], body, ["n", *sites])]
        return markdown_page(*parts or ["No run has figures of its sites."])


def _per_cent(value: float) -> str:
    """A decimal, or two digits of what is below one: in a late epoch a few weights in ten thousand flip."""
    if np.isnan(value):
        return "–"
    return f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.2g}"
