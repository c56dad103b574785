"""Accuracies over episodes: their mean, their interval, and rows compared episode by episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from binlit.interval import interval
from binlit.results.page import Page
from binlit.results.reading import Record
from binlit.results.table import bases_of, frame_of, key_columns, row_key, runs_by_row
from binlit.results.text import key_text, markdown_page, markdown_table, number, with_interval

DECIDES = (
    "name", "split", "image_size", "rotations", "query", "test_episodes", "characters", "evaluation", "drawings_each",
    "glyph_seed",
)  # fmt: skip
FIGURES = ("kind", "n", "acc", "acc_ci95", "seeds_ci95", "difference", "difference_ci95", "difference_seeds_ci95")
NOTE = (
    "accuracy: mean over test episodes ± half-width of its 95 % t interval over episodes (an episode's accuracy "
    "averaged over n seeds first): what other episodes would have given with these nets. ± over seeds: the same "
    "over trainings. The differences are paired: every row meets the same episodes, and both rows' nets are of the "
    "same seeds, those that both have; their first interval is over episodes, their second over these seeds; bold "
    "where both leave 0 out."
)


class Episodes(Page):
    """Few-shot rows against the one with no binary layer, over the same episodes."""

    name = "episodes"

    def applies(self) -> bool:
        return any(record.get("episodes") for record in self.records)

    def frame(self) -> pd.DataFrame:
        """Each row against the one with no binary layer, over the same episodes; records without episodes left out.

        An episode is one observation: its queries share classes and support drawings, and are not independent.
        Accuracies of one episode are averaged over a row's seeds first; differences over the seeds that both rows have.

        Returns:
            One line for each kind of episode and row, in per cent and points: kind, the row's keys, n (seeds), acc and
            acc_ci95 (half-width of the 95 % t interval over episodes), seeds_ci95 (of that over seeds; NaN for one),
            difference and difference_ci95 (less the row with no binary layer, over episodes; NaN where there is none),
            difference_seeds_ci95 (half-width over the seeds that both rows have; NaN for fewer than two).
        """
        done = [record for record in self.records if record["status"] == "ok" and record.get("episodes")]
        rows, lines = runs_by_row(done), list[dict[str, Any]]()
        for kind in sorted({name for record in done for name in record["episodes"]}, key=_size):
            having = {
                row: found
                for row, runs in rows.items()
                if (found := {run["seed"]: run for run in runs if kind in run["episodes"]})
            }
            for (row, runs), base in zip(having.items(), bases_of(map(dict, having)), strict=True):
                accuracies = [_accuracies(run, kind) for run in runs.values()]
                less = _differences(runs, having[row_key(base)], kind) if base and dict(row)["layer"] != "none" else []
                mine, theirs = (
                    (*_over_episodes(accuracies), _over_seeds(accuracies)),
                    (*_over_episodes(less), _over_seeds(less)),
                )
                figures = (len(runs), *mine, *theirs)
                lines.append({"kind": kind, **dict(row)} | dict(zip(FIGURES[1:], figures, strict=True)))
        return frame_of(lines, FIGURES)

    def markdown(self, frame: pd.DataFrame) -> str:
        """A part for each kind of episode; bold: both intervals leave 0 out."""
        keys = key_columns(frame, FIGURES)
        headings = [*keys, "n", "accuracy %", "± over seeds", "against no binary layer", "± over seeds (difference)"]
        parts = [f"# {self.title}, episode by episode"]
        for kind, lines in frame.groupby("kind", sort=False):
            way, shot = _size(str(kind))
            rows = []
            for line in lines.to_dict("records"):
                said = with_interval(line["difference"], line["difference_ci95"], 2, "+")
                bold = abs(line["difference"]) > np.maximum(line["difference_ci95"], line["difference_seeds_ci95"])
                rows.append(
                    [
                        *(key_text(key, line[key]) for key in keys),
                        line["n"],
                        with_interval(line["acc"], line["acc_ci95"], 2),
                        number(line["seeds_ci95"], ".2f"),
                        f"**{said}**" if bold else said,
                        number(line["difference_seeds_ci95"], ".2f"),
                    ]
                )
            parts += [f"## {way}-way {shot}-shot", markdown_table(headings, rows, headings[len(keys) :])]
        return markdown_page(*parts, NOTE)


def _over_episodes(accuracies: list[np.ndarray]) -> tuple[float, float]:
    """Mean and half-width over episodes, each averaged over the runs; NaN for no run."""
    return interval(np.mean(accuracies, axis=0).tolist()) if accuracies else (np.nan, np.nan)


def _over_seeds(accuracies: list[np.ndarray]) -> float:
    """Half-width over runs; NaN for fewer than two."""
    return interval([float(one.mean()) for one in accuracies])[1] if accuracies else np.nan


def _differences(runs: Mapping[int, Record], base: Mapping[int, Record], kind: str) -> list[np.ndarray]:
    """The differences episode by episode, for each seed that both have and whose episodes are the same."""
    both = [s for s in sorted(set(runs) & set(base)) if _asked(runs[s], kind) == _asked(base[s], kind)]
    return [_accuracies(runs[s], kind) - _accuracies(base[s], kind) for s in both]


def _asked(record: Record, kind: str) -> dict[str, Any]:
    """What decides which test episodes there are; `limit_test_batches` may have left some out."""
    asked = {key: value for key, value in record["config"]["dataset"].items() if key in DECIDES}
    return asked | {"tested": len(record["episodes"].get(kind, ()))}


def _size(kind: str) -> tuple[int, int]:
    """Way and shot of a kind's name, such as `5w1s`."""
    way, shot = kind.rstrip("s").split("w")
    return int(way), int(shot)


def _accuracies(record: Record, kind: str) -> np.ndarray:
    """Per cent of the queries of each episode that were classified rightly."""
    queries = _size(kind)[0] * record["config"]["dataset"]["query"]
    return 100 * np.asarray(record["episodes"][kind], dtype=float) / queries
