"""What bits and weights do at each site in the last epoch: how many are on, get no gradient, flip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from binlit.results.markdown import markdown_table
from binlit.results.record import Record
from binlit.results.table import KEYS, RowKey, full_rows, row_key

SITES = "sites.md"
SHARES = (
    ("site", "ones", "Share of bits that are on"),
    ("site", "flat", "Share of units in the flat part of their surrogate"),
    ("weight", "flips", "Share of weights that flipped"),
)


def site_figures(entry: Mapping[str, Any], kind: str = "site") -> dict[str, dict[str, float]]:
    """{site: {figure: value}} of one epoch of the curve; of layers with binary weights for the kind `weight`."""
    figures: dict[str, dict[str, float]] = {}
    for name, value in entry.items():
        if name.startswith(f"{kind}/"):
            _, site, figure = name.split("/")
            figures.setdefault(site, {})[figure] = value
    return figures


def sites_markdown(records: Sequence[Record]) -> str:
    """A page with a table of each share that the records have: rows by site, per cent, mean over the runs of a row."""
    lines: list[str] = []
    named_rows = full_rows(records)
    for kind, figure, heading in SHARES:
        rows: dict[RowKey, list[dict[str, float]]] = {}
        for record in records:
            figures = site_figures((record.get("curve") or [{}])[-1], kind)
            if record["status"] == "ok" and figures:
                run = {site: values.get(figure, np.nan) for site, values in figures.items()}
                rows.setdefault(row_key(named_rows[record["fingerprint"]]), []).append(run)
        if not rows:
            continue
        named = {name for row in rows for name, value in row if (name, value) != ("anneal", "none")}
        keys = [*(name for name in KEYS if name in named), *sorted(named - set(KEYS))]
        sites = sorted({site for runs in rows.values() for run in runs for site in run})
        body = []
        for row, runs in sorted(rows.items()):
            means = [np.mean([run[site] for run in runs]) if site in runs[0] else np.nan for site in sites]
            shares = ["–" if np.isnan(mean) else _per_cent(100 * float(mean)) for mean in means]
            body.append([*(dict(row).get(key, "") for key in keys), len(runs), *shares])
        numbers = ["n", *sites]
        lines += [f"# {heading}, last epoch (%)", "", *markdown_table([*keys, *numbers], body, numbers), ""]
    return "\n".join(lines)


def _per_cent(value: float) -> str:
    """A decimal, or two digits of what is below one: in a late epoch a few weights in ten thousand flip."""
    return f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.2g}"
