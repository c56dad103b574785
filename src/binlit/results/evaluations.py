"""Trained nets tested again: the bits of the same net drawn once, thresholded, or averaged over many draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from binlit.config.layers import chosen_weights
from binlit.interval import interval
from binlit.results.markdown import markdown_table, with_interval
from binlit.results.record import Record
from binlit.results.show import key_text
from binlit.results.table import KEYS, RowKey, base_of, full_rows, in_order, row_key

EVALUATIONS_PAGE = "evaluations.md"
FIGURES = ("tested", "n", "acc", "acc_ci95", "cost", "cost_ci95")


def evaluation_table(records: Sequence[Record]) -> pd.DataFrame:
    """The rows that `binlit.evaluate` tested again: a line for each way of testing, the run's own way first.

    Args:
        records: of runs; `evaluations` of those that were tested again.

    Returns:
        Columns: the row's keys; tested (the way, in words); n (runs); acc and acc_ci95 (test accuracy in per cent and
        half-width of its 95 % t interval over runs); cost and cost_ci95 (points of accuracy less than the runs with
        nothing binary, seed by seed; NaN where no seed has both). The row with nothing binary is among them. A run
        that was tested in one way with several seeds counts once, with their mean.
    """
    done = [record for record in records if record["status"] == "ok"]
    named = full_rows(done)
    rows: dict[RowKey, dict[int, Record]] = {}
    for record in done:
        rows.setdefault(row_key(named[record["fingerprint"]]), {})[record["seed"]] = record
    again = [key for key, runs in rows.items() if any(run.get("evaluations") for run in runs.values())]
    bases = {key: base_of(dict(key), map(dict, rows)) for key in again}
    lines: list[dict[str, Any]] = []
    for key in dict.fromkeys([*(row_key(base) for base in bases.values() if base), *again]):
        base = bases.get(key)
        plain = rows[row_key(base)] if base else {}
        ways: dict[str, dict[int, float]] = {}
        for seed, run in rows[key].items():
            for way, accuracy in _accuracies(run).items():
                ways.setdefault(way, {})[seed] = accuracy
        for way, found in ways.items():
            costs = [100 * plain[seed]["metrics"]["test/acc"] - found[seed] for seed in found if seed in plain]
            figures = (way, len(found), *interval(list(found.values())), *interval(costs))
            lines.append(dict(key) | dict(zip(FIGURES, figures, strict=True)))
    table = pd.DataFrame(lines)
    return in_order(table.fillna({name: "" for name in table.columns if name not in FIGURES}))


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


def evaluations_markdown(table: pd.DataFrame, title: str) -> str:
    """The table as a Markdown page."""
    keys = [name for name in table.columns if name not in FIGURES and set(table[name]) != {"none"}]
    keys = [*(name for name in KEYS if name in keys), *(name for name in keys if name not in KEYS)]
    headings = [*keys, "tested with", "n", "accuracy %", "cost"]
    rows = []
    for line in table.to_dict("records"):
        shown = [key_text(key, line[key]) for key in keys]
        acc, cost = (
            with_interval(line[name], line[f"{name}_ci95"], 2, sign) for name, sign in (("acc", ""), ("cost", "+"))
        )
        rows.append([*shown, line["tested"] or "–", line["n"], acc, cost])
    page = [
        f"# {title}: the same nets, tested in several ways",
        "",
        *markdown_table(headings, rows, ["n", *headings[-2:]]),
    ]
    page += [
        "",
        "Each net was trained once, as its row says, and its tested epoch chosen as the table says; first the way in "
        "which the run itself was tested. mean of K draws: the probabilities of K passes with bits of their own, "
        "averaged. accuracy: mean ± half-width of the 95 % t interval over n seeds. cost: points of accuracy less than "
        "the nets with nothing binary, the same but seed by seed.",
        "",
    ]
    return "\n".join(page)
