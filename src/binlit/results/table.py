"""From records to a table: a row for each way to be binary, mean and interval over seeds, published beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import yaml

from binlit.catalogue import packaged
from binlit.config import decisive
from binlit.config.outcome import leaves, same_numbers
from binlit.interval import interval
from binlit.paths import PACKAGE
from binlit.results.reading import Record
from binlit.results.record import latest

KEYS = ("layer", "mode", "estimator", "anneal")
EXTRAS = ("net", "weights", "weight", "threshold")  # in this order, others by the letter, `setting` last
TELLING = (*KEYS, "net", "weights")  # what a published row is found by
RowKey = tuple[tuple[str, str], ...]


def build_table(
    records: Sequence[Record], expected: Sequence[Mapping[str, Any]] = (), experiment: str = ""
) -> pd.DataFrame:
    """One line a row, the non-binary one first.

    Args:
        records: of runs, done and failed.
        expected: what a sweep set out to run (row, seed, fingerprint); what has no record counts as missing.
        experiment: whose published numbers to put beside it; those of the records where not given.

    Returns:
        Columns: the row's keys; n (runs done); acc and loss (mean), acc_ci95 and loss_ci95 (half-width of Student's
        t interval over seeds, NaN for one run); acc_published, loss_published, acc_difference (ours less published);
        acc_cost (accuracy of the non-binary row, of the same setting where there are several, less this one's;
        NaN where there is none to compare with); failed, missing. Accuracies and their differences
        are in per cent and points, losses in nats.
    """
    rows = runs_by_row(latest(records))
    known = {run["fingerprint"] for runs in rows.values() for run in runs}
    missing = Counter(row_key(job["row"]) for job in expected if job["fingerprint"] not in known)
    published = published_rows(experiment or experiments_of(records))
    run_by_nobody = published.keys() - {_telling(row) for row in (*rows, *missing)}
    lines = [
        {**dict(row), **_figures(rows.get(row, ()), published.get(_telling(row), {})), "missing": missing[row]}
        for row in dict.fromkeys([*rows, *missing, *(row for row in published if row in run_by_nobody)])
    ]
    for line, base in zip(lines, bases_of(lines), strict=True):
        line["acc_cost"] = base["acc"] - line["acc"] if base else np.nan
    extras = list({name for row in (*rows, *missing, *run_by_nobody) for name, _ in row} - set(KEYS))
    extras.sort(key=lambda name: (EXTRAS.index(name) if name in EXTRAS else len(EXTRAS), name == "setting", name))
    figures = [
        "n", "acc", "acc_ci95", "acc_cost", "acc_published", "acc_difference", "loss", "loss_ci95", "loss_published",
        "failed", "missing",
    ]  # fmt: skip
    lines.sort(key=_place)
    return pd.DataFrame(lines, columns=[*KEYS, *extras, *figures]).fillna(dict.fromkeys(extras, ""))


def bases_of(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
    """For each row the one with nothing binary that it is compared with: of its net and recipe, or the net's only one;
    None where there is none."""
    told = [(row, set(filter(None, str(row.get("setting", "")).split(", ")))) for row in rows]
    plain: dict[str, list[tuple[Mapping[str, Any], set[str]]]] = {}
    for row, settings in told:
        if _is_plain(row):
            plain.setdefault(row.get("net", ""), []).append((row, settings))
    bases = []
    for row, settings in told:
        there = plain.get(row.get("net", ""), [])
        found = [base for base, theirs in there if theirs <= settings] or [base for base, _ in there]
        bases.append(found[0] if len(found) == 1 else None)
    return bases


def _is_plain(row: Mapping[str, Any]) -> bool:
    return row["layer"] == "none" and "weights" not in row


def published_rows(experiment: str) -> dict[RowKey, dict[str, float]]:
    """{row: {"acc": per cent, "loss": nats}} of the study that the experiment repeats; empty where there is none."""
    rows = _published(experiment).get("rows", [])
    return {row_key({"anneal": "none"} | {k: row[k] for k in TELLING if k in row}): row for row in rows}


def published_source(experiment: str) -> str | None:
    """Where the published numbers are from, in a line; None where there are none."""
    return _published(experiment).get("source")


@cache
def _published(experiment: str) -> dict[str, Any]:
    """The file that names the experiment (or all of several, joined by +) among its `experiments`."""
    for path in sorted((PACKAGE / "results" / "published").glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if all(one in content["experiments"] for one in experiment.split("+")):  # of several: those of one study
            return content
    return {}


def experiments_of(records: Sequence[Record]) -> str:
    """The experiments that the records are of, joined by +."""
    return "+".join(sorted({record["experiment"] for record in records}))


def row_key(row: Mapping[str, Any]) -> RowKey:
    """What tells rows apart: their keys in a fixed order, values as text."""
    return tuple((name, str(row[name])) for name in (*KEYS, *sorted(set(row) - set(KEYS))) if name in row)


def _telling(row: RowKey) -> RowKey:
    return tuple((name, value) for name, value in row if name in TELLING)


def runs_by_row(records: Sequence[Record]) -> dict[RowKey, list[Record]]:
    """The runs of each row, in the order of the table."""
    rows, runs = full_rows(records), dict[RowKey, list[Record]]()
    for record in records:
        runs.setdefault(row_key(rows[record["fingerprint"]]), []).append(record)
    first = {row: min(run["finished"] for run in same) for row, same in runs.items()}
    return {row: runs[row] for row in sorted(runs, key=lambda row: (_place(dict(row)), first[row]))}


def frame_of(lines: Sequence[Mapping[str, Any]], figures: Collection[str]) -> pd.DataFrame:
    """The lines as a frame; a key that a row does not have is empty."""
    frame = pd.DataFrame(lines)
    return frame.fillna({name: "" for name in frame.columns if name not in figures})


def key_columns(frame: pd.DataFrame, figures: Collection[str]) -> list[str]:
    """The columns of a frame that are keys of its rows, not figures; without `anneal` where nothing is annealed."""
    others = [name for name in frame.columns if name not in (*KEYS, *figures)]
    return [name for name in (*KEYS, *others) if name != "anneal" or set(frame["anneal"]) != {"none"}]


def full_rows(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    """{fingerprint: row}, values as text, with the setting where records of one row differ in one."""
    variants = variants_of(records)
    return {
        one["fingerprint"]: {name: str(value) for name, value in one["row"].items()}
        | variants.get(one["fingerprint"], {})
        for one in records
    }


def variants_of(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    """{fingerprint: {"setting": "optimizer.lr=0.01"}} where records of one row differ in more than the seed.

    So that a sweep over any other setting gets a row each, and two recipes are never averaged. Where nets with nothing
    binary differ, all rows say what they have of that: each can then be compared with the one of its own recipe.
    """
    by_row: dict[RowKey, list[Record]] = {}
    for record in records:
        by_row.setdefault(row_key(record["row"]), []).append(record)
    named: dict[str, dict[str, str]] = {}
    of_plain: dict[str, set[str]] = {}
    for same_row in sorted(by_row.values(), key=lambda same_row: not _is_plain(same_row[0]["row"])):
        flat = [
            {name: same_numbers(value) for name, value in leaves(decisive(record["config"]))} for record in same_row
        ]
        row = same_row[0]["row"]
        differing = {
            name
            for name in {name for one in flat for name in one}
            if name.rpartition(".")[2] != "seed" and len({str(one.get(name)) for one in flat}) > 1
        } - _following_length(flat)
        if _is_plain(row):
            of_plain[row.get("net", "")] = differing
        differing |= of_plain.get(row.get("net", ""), set())
        if differing:
            for record, one in zip(same_row, flat, strict=True):
                values = (f"{name}={one.get(name)}" for name in sorted(differing))
                named[record["fingerprint"]] = {"setting": ", ".join(values)}
    return named


def _following_length(flat: Sequence[Mapping[str, Any]]) -> set[str]:
    """Settings of a schedule that differ because the number of epochs does, and say nothing beside it."""
    lengths = [one.get("trainer.max_epochs") or 0 for one in flat]
    following = set()
    if all(one.get("scheduler.T_max") == length for one, length in zip(flat, lengths, strict=True)):
        following.add("scheduler.T_max")
    falls = {f"{(one.get('scheduler.gamma') or 1) ** length:.6g}" for one, length in zip(flat, lengths, strict=True)}
    if len(falls) == 1:
        following.add("scheduler.gamma")
    return following


def _figures(runs: Sequence[Record], published: Mapping[str, float]) -> dict[str, Any]:
    """The figures of a row but for its cost and what is missing."""
    done = sorted((run for run in runs if run["status"] == "ok"), key=lambda run: run["finished"])
    line: dict[str, Any] = {"n": len(done), "failed": len(runs) - len(done)}
    for name, scale in (("acc", 100), ("loss", 1)):
        values = [run["metrics"][f"test/{name}"] for run in done]
        finite = [value * scale for value in values if value is not None]
        # a run without a finite loss leaves the mean without one: nothing is averaged away
        line[name], line[f"{name}_ci95"] = interval(finite) if len(finite) == len(values) else (np.nan, np.nan)
        line[f"{name}_published"] = published.get(name, np.nan)
    return line | {"acc_difference": line["acc"] - line["acc_published"]}


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a row stands: by net where there are several, then none first, then by estimator in the order in which they
    are usually named, mode, anneal, layer (all last), weights, threshold."""
    estimators, modes = ["none", *packaged("estimator")], ["none", "stochastic", "deterministic"]
    estimator, layer = row["estimator"], row["layer"]
    return (
        row.get("net", ""),
        (estimators.index(estimator) if estimator in estimators else len(estimators), estimator),
        modes.index(row["mode"]),
        (row["anneal"] != "none", row["anneal"]),
        ({"none": -1, "all": 1}.get(layer, 0), layer),
        row.get("weights", ""),
        float(row.get("threshold", 0)),
    )
