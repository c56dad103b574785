"""Trained nets tested again: the bits of the same net drawn once, thresholded, or averaged over many draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from binlit.config.layers import chosen_weights
from binlit.interval import interval
from binlit.results.page import Page
from binlit.results.reading import Record
from binlit.results.table import bases_of, frame_of, key_columns, row_key, runs_by_row
from binlit.results.text import key_text, markdown_page, markdown_table, with_interval

FIGURES = ("tested", "n", "acc", "acc_ci95", "cost", "cost_ci95")
NOTE = (
    "Each net was trained once, as its row says, and its tested epoch chosen as the table says; first the way in "
    "which the run itself was tested. mean of K draws: the probabilities of K passes with bits of their own, "
    "averaged. accuracy: mean ± half-width of the 95 % t interval over n seeds. cost: points of accuracy less than "
    "the nets with nothing binary, the same but seed by seed."
)


class Evaluations(Page):
    """What `binlit.evaluate` found for nets that it tested in other ways."""

    name = "evaluations"

    def applies(self) -> bool:
        return any(record.get("evaluations") for record in self.records)

    def frame(self) -> pd.DataFrame:
        """The rows that were tested again: a line for each way of testing, the run's own way first.

        Returns:
            Columns: the row's keys; tested (the way, in words); n (runs); acc and acc_ci95 (test accuracy in per cent
            and half-width of its 95 % t interval over runs); cost and cost_ci95 (points of accuracy less than the runs
            with nothing binary, seed by seed; NaN where no seed has both). The row with nothing binary is among them.
            A run that was tested in one way with several seeds counts once, with their mean.
        """
        done = runs_by_row([record for record in self.records if record["status"] == "ok"])
        rows = {row: {run["seed"]: run for run in runs} for row, runs in done.items()}
        again = {row for row, runs in rows.items() if any(run.get("evaluations") for run in runs.values())}
        found = zip(rows, bases_of(map(dict, rows)), strict=True)
        bases = {row: row_key(base) for row, base in found if base and row in again}
        shown, lines = again | set(bases.values()), list[dict[str, Any]]()
        for row, runs in rows.items():
            if row not in shown:
                continue
            plain = rows.get(bases.get(row, ()), {})
            ways: dict[str, dict[int, float]] = {}
            for seed, run in runs.items():
                for way, accuracy in _accuracies(run).items():
                    ways.setdefault(way, {})[seed] = accuracy
            for way, accuracies in ways.items():
                both = [seed for seed in accuracies if seed in plain]
                costs = [100 * plain[seed]["metrics"]["test/acc"] - accuracies[seed] for seed in both]
                figures = (way, len(accuracies), *interval(list(accuracies.values())), *interval(costs))
                lines.append(dict(row) | dict(zip(FIGURES, figures, strict=True)))
        return frame_of(lines, FIGURES)

    def markdown(self, frame: pd.DataFrame) -> str:
        keys = key_columns(frame, FIGURES)
        headings = [*keys, "tested with", "n", "accuracy %", "cost"]
        rows = [
            [
                *(key_text(key, line[key]) for key in keys),
                line["tested"] or "–",
                line["n"],
                with_interval(line["acc"], line["acc_ci95"], 2),
                with_interval(line["cost"], line["cost_ci95"], 2, "+"),
            ]
            for line in frame.to_dict("records")
        ]
        heading = f"# {self.title}: the same nets, tested in several ways"
        return markdown_page(heading, markdown_table(headings, rows, headings[-3:]), NOTE)


def _accuracies(run: Record) -> dict[str, float]:
    """{way of testing: per cent}, the run's own way first."""
    config = run["config"]
    weights = {"weight.eval": config["weight"]["eval"]} if chosen_weights(config) else {}
    own = config["binary"] | weights | {"metrics": run["metrics"]}
    found: dict[str, list[float]] = {}
    for tested in [own, *run.get("evaluations", ())]:
        found.setdefault(_way(run, tested), []).append(100 * tested["metrics"]["test/acc"])
    return {way: float(np.mean(values)) for way, values in found.items()}


def _way(run: Record, tested: Record) -> str:
    """How bits and weights were made at test time, in words; empty where nothing is binary."""
    how, draws = tested["eval"], run["row"]["mode"] == "stochastic"
    said = []
    if how == "mean":
        said = [f"mean of {tested['eval_draws']} draws"]
    elif run["row"]["layer"] != "none":
        said = ["one draw" if how == "sample" or (how == "auto" and draws) else "thresholded"]
    if "weight.eval" in tested:
        said.append({"sample": "drawn", "threshold": "binary", "latent": "real"}[tested["weight.eval"]] + " weights")
    return ", ".join(said)
