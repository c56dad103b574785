"""Rows against a base row, seed by seed: what a setting changes, with the noise that both share taken out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from binlit.interval import interval
from binlit.results.markdown import markdown_table
from binlit.results.record import Record
from binlit.results.table import RowKey, row_key

PAIRED = "paired.md"


def paired_table(records: Sequence[Record], key: str, base: str) -> pd.DataFrame:
    """Each row less the row that differs in `key` alone, where it is `base`; paired by seed.

    Args:
        records: of runs; failed ones and those with no binary layer are left out.
        key: a key of the row, such as `anneal`.
        base: its value in the row that the others are compared with.

    Returns:
        Columns: the row's keys; n (pairs); difference (points of accuracy) and difference_ci95 (half-width of the 95 %
        t interval over pairs); flat and flat_base (share of units in the dead zone after the last epoch, mean over the
        row's sites and runs; NaN where it was not logged).

    Raises:
        ValueError: no row has `base` under `key`.
    """
    runs: dict[RowKey, dict[int, Record]] = {}
    for record in records:
        if record["status"] == "ok" and record["row"]["layer"] != "none":
            runs.setdefault(row_key(record["row"]), {})[record["seed"]] = record
    lines = []
    for row, mine in runs.items():
        keys = dict(row)
        theirs = runs.get(tuple((name, base if name == key else value) for name, value in row), {})
        seeds = sorted(set(mine) & set(theirs))
        if keys.get(key, base) == base or not seeds:
            continue
        points = [100 * (mine[s]["metrics"]["test/acc"] - theirs[s]["metrics"]["test/acc"]) for s in seeds]
        mean, half = interval(points)
        flat, flat_base = (_flat([runs_of[s] for s in seeds]) for runs_of in (mine, theirs))
        lines.append(
            keys | {"n": len(seeds), "difference": mean, "difference_ci95": half, "flat": flat, "flat_base": flat_base}
        )
    if not lines:
        known = sorted({dict(row).get(key, "?") for row in runs})
        raise ValueError(f"{key}={base} has no row to compare with; {key} is {', '.join(known)} here")
    table = pd.DataFrame(lines)
    by = [name for name in ("net", key, "mode", "layer") if name in table]
    return table.sort_values(by, ignore_index=True, key=_in_order)


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


def paired_markdown(table: pd.DataFrame, key: str, base: str) -> str:
    """The table as a Markdown page; an interval that leaves 0 out is bold."""
    keys = list(table.columns[: table.columns.get_indexer(["n"])[0]])
    heading = [*keys, "n", f"points against {key} {base}", "dead zone", f"dead zone, {base}"]
    rows = []
    for line in table.to_dict("records"):
        said = f"{line['difference']:+.2f}"
        if not np.isnan(line["difference_ci95"]):
            said += f" ± {line['difference_ci95']:.2f}"
        said = f"**{said}**" if abs(line["difference"]) > line["difference_ci95"] else said
        shares = ["–" if np.isnan(line[name]) else f"{100 * line[name]:.0f} %" for name in ("flat", "flat_base")]
        rows.append([*(line[name] for name in keys), line["n"], said, *shares])
    lines = [f"# Against {key}={base}, paired by seed", "", *markdown_table(heading, rows, heading[len(keys) :])]
    lines += [
        "",
        "points: accuracy less that of the base row with the same seed, mean ± half-width of the 95 % t interval "
        "over seeds; bold where the interval leaves 0 out. dead zone: share of units in the flat part of the surrogate "
        "after the last epoch, mean over the row's binary sites.",
        "",
    ]
    return "\n".join(lines)
