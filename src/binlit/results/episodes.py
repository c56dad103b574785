"""Accuracies over episodes: their mean, their interval, and rows compared episode by episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from binlit.interval import interval
from binlit.results.markdown import markdown_table, with_interval
from binlit.results.record import Record
from binlit.results.show import key_text
from binlit.results.table import KEYS, RowKey, base_of, build_table, full_rows, row_key

EPISODES = "episodes.md"
DECIDES = (
    "name", "split", "image_size", "rotations", "query", "test_episodes", "characters", "evaluation", "drawings_each",
    "glyph_seed",
)  # fmt: skip


def episode_table(records: Sequence[Record]) -> pd.DataFrame:
    """Each row against the one with no binary layer, over the same episodes.

    An episode is one observation: its queries share classes and support drawings, and are not independent. Accuracies
    of one episode are averaged over a row's seeds first; differences over the seeds that both rows have.

    Args:
        records: of few-shot runs; those without episodes are left out.

    Returns:
        One line for each kind of episode and row, in per cent and points: kind, the row's keys, n (seeds), acc and
        acc_ci95 (half-width of the 95 % t interval over episodes), seeds_ci95 (of that over seeds; NaN for one),
        difference and difference_ci95 (less the row with no binary layer, over episodes; NaN where there is none),
        difference_seeds_ci95 (half-width over the seeds that both rows have; NaN for fewer than two).
    """
    done = [record for record in records if record["status"] == "ok" and record.get("episodes")]
    named = full_rows(done)
    lines = []
    kinds = sorted({name for record in done for name in record["episodes"]}, key=_size)
    for kind in kinds:
        rows: dict[RowKey, dict[int, Record]] = {}
        for record in done:
            if kind in record["episodes"]:
                rows.setdefault(row_key(named[record["fingerprint"]]), {})[record["seed"]] = record
        for row, runs in rows.items():
            accuracies = [_accuracies(record, kind) for record in runs.values()]
            mean, half = interval(np.mean(accuracies, axis=0).tolist())
            seeds = interval([float(one.mean()) for one in accuracies])[1]
            less = _differences(runs, _base(dict(row), rows), kind)
            difference = interval(np.mean(less, axis=0).tolist()) if less else (np.nan, np.nan)
            trained = interval([float(one.mean()) for one in less])[1] if less else np.nan
            line: dict[str, Any] = {"kind": kind, **dict(row), "n": len(runs), "acc": mean, "acc_ci95": half}
            line |= {"seeds_ci95": seeds, "difference": difference[0], "difference_ci95": difference[1]}
            line["difference_seeds_ci95"] = trained
            lines.append(line)
    order = [_plain(line) for line in build_table(done).to_dict("records")]
    lines.sort(key=lambda line: (kinds.index(line["kind"]), order.index(_plain(line))))
    table = pd.DataFrame(lines)
    return table.fillna(dict.fromkeys(_extras(table), ""))


def _base(row: dict[str, str], rows: Mapping[RowKey, dict[int, Record]]) -> dict[int, Record]:
    """The runs with no binary layer that a row is compared with; none for those themselves."""
    base = base_of(row, map(dict, rows)) if row["layer"] != "none" else None
    return rows[row_key(base)] if base else {}


def _differences(runs: Mapping[int, Record], base: Mapping[int, Record], kind: str) -> list[np.ndarray]:
    """The differences episode by episode, for each seed that both have and whose episodes are the same."""
    both = [s for s in sorted(set(runs) & set(base)) if _asked(runs[s], kind) == _asked(base[s], kind)]
    return [_accuracies(runs[s], kind) - _accuracies(base[s], kind) for s in both]


def _asked(record: Record, kind: str) -> dict[str, Any]:
    """What decides which test episodes there are; `limit_test_batches` may have left some out."""
    asked = {key: value for key, value in record["config"]["dataset"].items() if key in DECIDES}
    return asked | {"tested": len(record["episodes"].get(kind, ()))}


def _plain(line: Mapping[Any, Any]) -> tuple[str, ...]:
    """The row's keys without what a table adds to them: a place in the main table's order."""
    return tuple(str(line[name]) for name in KEYS)


def _extras(table: pd.DataFrame) -> list[str]:
    figures = ("kind", "n", "acc", "acc_ci95", "seeds_ci95", "difference", "difference_ci95", "difference_seeds_ci95")
    return [name for name in table.columns if name not in (*KEYS, *figures)]


def _size(kind: str) -> tuple[int, int]:
    """Way and shot of a kind's name, such as `5w1s`."""
    way, shot = kind.rstrip("s").split("w")
    return int(way), int(shot)


def _accuracies(record: Record, kind: str) -> np.ndarray:
    """Per cent of the queries of each episode that were classified rightly."""
    queries = _size(kind)[0] * record["config"]["dataset"]["query"]
    return 100 * np.asarray(record["episodes"][kind], dtype=float) / queries


def episodes_markdown(table: pd.DataFrame, title: str) -> str:
    """The table as a Markdown page, a part for each kind of episode; bold: both intervals leave 0 out."""
    keys = [name for name in (*KEYS, *_extras(table)) if name != "anneal" or set(table["anneal"]) != {"none"}]
    headings = [*keys, "n", "accuracy %", "± over seeds", "against no binary layer", "± over seeds (difference)"]
    page = [f"# {title}, episode by episode"]
    for kind in dict.fromkeys(table["kind"]):
        way, shot = _size(kind)
        rows = []
        for line in table.to_dict("records"):
            if line["kind"] != kind:
                continue
            said = with_interval(line["difference"], line["difference_ci95"], 2, "+")
            bold = abs(line["difference"]) > np.maximum(line["difference_ci95"], line["difference_seeds_ci95"])
            said = f"**{said}**" if bold else said
            seeds, less = (
                "–" if np.isnan(line[f"{name}seeds_ci95"]) else f"{line[f'{name}seeds_ci95']:.2f}"
                for name in ("", "difference_")
            )
            shown = [key_text(key, line[key]) for key in keys]
            rows.append([*shown, line["n"], with_interval(line["acc"], line["acc_ci95"], 2), seeds, said, less])
        page += ["", f"## {way}-way {shot}-shot", "", *markdown_table(headings, rows, headings[len(keys) :])]
    page += [
        "",
        "accuracy: mean over test episodes ± half-width of its 95 % t interval over episodes (an episode's accuracy "
        "averaged over n seeds first): what other episodes would have given with these nets. ± over seeds: the same "
        "over trainings. The differences are paired: every row meets the same episodes, and both rows' nets are of the "
        "same seeds, those that both have; their first interval is over episodes, their second over these seeds; bold "
        "where both leave 0 out.",
        "",
    ]
    return "\n".join(page)
