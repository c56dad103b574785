"""A table on the console and as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from binlit.callbacks.options import chosen_by
from binlit.results.markdown import markdown_table, with_interval
from binlit.results.record import Record

HEADINGS = {
    "layer": "layer", "mode": "mode", "estimator": "estimator", "anneal": "anneal", "setting": "setting", "n": "n",
    "acc": "accuracy %", "acc_cost": "cost", "acc_published": "published", "acc_difference": "difference",
    "loss": "loss", "loss_published": "loss published", "failed": "failed", "missing": "missing",
}  # fmt: skip


NUMBERS = {"n", "accuracy %", "cost", "published", "difference", "loss", "loss published", "failed", "missing"}


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text: means with their interval, signs before differences, – where there is nothing."""
    text = pd.DataFrame(index=table.index)
    for name in table.columns:
        if name.endswith("_ci95"):
            continue
        if name in ("acc", "loss"):
            digits = 2 if name == "acc" else 4
            pairs = zip(table[name], table[f"{name}_ci95"], strict=True)
            text[HEADINGS[name]] = [with_interval(mean, half, digits) for mean, half in pairs]
        elif name in ("acc_cost", "acc_difference"):
            text[HEADINGS[name]] = [_number(value, "+.2f") for value in table[name]]
        elif name in ("acc_published", "loss_published"):
            text[HEADINGS[name]] = [
                _number(value, ".2f" if name == "acc_published" else ".4f") for value in table[name]
            ]
        elif name in ("failed", "missing"):
            if set(table[name]) != {0}:
                text[HEADINGS[name]] = [str(value) if value else "" for value in table[name]]
        elif name != "anneal" or set(table[name]) != {"none"}:
            text[HEADINGS.get(name, name)] = [key_text(name, value) for value in table[name]]
    empty = [name for name in ("published", "difference", "loss published") if set(text[name]) == {"–"}]
    return text.drop(columns=empty)


def to_console(table: pd.DataFrame, title: str) -> None:
    """Prints the table; failed and missing runs in red."""
    text = cells(table)
    shown = Table(title=title, title_justify="left")
    for name in text.columns:
        shown.add_column(
            name, justify="right" if name in NUMBERS else "left", style="red" if name in ("failed", "missing") else ""
        )
    for row in text.itertuples(index=False):
        shown.add_row(*row)
    Console(width=None if Console().is_terminal else 160).print(shown)


def to_markdown(table: pd.DataFrame, title: str, footnotes: Sequence[str]) -> str:
    """The table as GitHub Markdown, with its footnotes."""
    text = cells(table)
    lines = [
        f"# {title}",
        "",
        *markdown_table(list(text.columns), text.itertuples(index=False), NUMBERS),
        "",
    ]
    return "\n".join([*lines, *(f"{note}\n" for note in footnotes)])


def footnotes(records: Sequence[Record], source: str | None) -> list[str]:
    """What the columns mean, and what made the numbers; from the records."""
    done = [record for record in records if record["status"] == "ok"]
    notes = [
        f"accuracy and loss: test set, {_rule(records)}, mean ± half-width of the 95 % t "
        "interval over n seeds. cost: points of accuracy less than the net with no binary layer."
    ]
    if source:
        notes.append(f"published: {source}. difference: ours less published, in points.")
    for record in records:
        if record["status"] != "ok":
            notes.append(
                f"failed: {' '.join(map(str, record['row'].values()))}, seed {record['seed']}: {record['error']}"
            )
    if done:
        sizes = sorted({str(record["metrics"].get("test/n")) for record in done})
        made = Counter(
            f"{r['hardware']['gpu'] or r['hardware']['processor']}, {r['hardware']['threads']} thread(s), "
            f"torch {r['versions']['torch']}"
            for r in done
        )
        hours = sum(record["duration"] for record in done) / 3600
        epochs = ", ".join(sorted({str(record["config"]["trainer"]["max_epochs"]) for record in done}))
        notes.append(
            f"{len(done)} runs of {epochs} epochs, "
            f"{hours:.2f} hours of training in all, {' or '.join(sizes)} test examples; made on "
            + "; ".join(f"{name} ({count} runs)" for name, count in made.items())
            + "."
        )
    return notes


def _rule(records: Sequence[Record]) -> str:
    """Which epoch was tested; all rules where records differ."""
    found = {chosen_by(record["config"]) for record in records}
    names = [{"val/acc": "accuracy", "val/loss": "loss"}.get(name, name) for name in sorted(filter(None, found))[::-1]]
    best = [f"epoch of the best validation {' or '.join(names)}"] if names else []
    return " or ".join([*best, *(["last epoch"] if None in found else [])])


def key_text(name: str, value: object) -> str:
    """A row's key as a table shows it."""
    return "–" if str(value) == "none" and name != "layer" else str(value)


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)
