"""The table itself: a row for each way to be binary, on the console and as table.md, table.csv and table.png."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from binlit.callbacks.options import chosen_by
from binlit.files import write_whole
from binlit.paths import MANIFEST, RECORDS
from binlit.results.page import Page
from binlit.results.pages.main_picture import draw_table
from binlit.results.reading import Record, as_lines
from binlit.results.record import portable
from binlit.results.table import build_table, experiments_of, published_source
from binlit.results.text import key_text, markdown_page, markdown_table, number, print_table, with_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADINGS = {
    "acc": "accuracy %", "acc_cost": "cost", "acc_published": "published", "acc_difference": "difference",
    "loss_published": "loss published",
}  # fmt: skip
FORMS = {"acc_cost": "+.2f", "acc_published": ".2f", "acc_difference": "+.2f", "loss_published": ".4f"}
NUMBERS = {"n", "accuracy %", "cost", "published", "difference", "loss", "loss published", "failed", "missing"}


@dataclass
class MainTable(Page):
    """The table of all rows, beside the records that it is made of.

    Args:
        expected: what a sweep set out to run (row, seed, fingerprint); what has no record counts as missing.
    """

    name = "table"
    expected: Sequence[Mapping[str, Any]] = ()

    def frame(self) -> pd.DataFrame:
        """As `build_table` makes it."""
        return build_table(self.records, self.expected)

    def markdown(self, frame: pd.DataFrame) -> str:
        text = cells(frame)
        notes = footnotes(self._in_order, published_source(experiments_of(self.records)))
        return markdown_page(
            f"# {self.title}", markdown_table(list(text.columns), text.itertuples(index=False), NUMBERS), *notes
        )

    def picture(self, frame: pd.DataFrame) -> Figure:
        return draw_table(frame, self.title)

    def files(self, frame: pd.DataFrame) -> dict[str, str | Figure]:
        md, png = super().files(frame).items()
        csv = frame.to_csv(index=False, float_format="%.6g")
        return dict([(RECORDS, as_lines(self._in_order)), md, ("table.csv", csv), png])

    def show(self, frame: pd.DataFrame) -> None:
        """Prints the table; failed and missing runs in red."""
        print_table(cells(frame), self.title, NUMBERS, ("failed", "missing"))

    def write(self, out: Path) -> None:
        """As every page; and what has still to be run into sweep.json, so that the holes stay known."""
        super().write(out)
        have = {record["fingerprint"] for record in self.records}
        missing = [job for job in self.expected if job["fingerprint"] not in have]
        if missing:
            write_whole(out / MANIFEST, json.dumps(missing, indent=1) + "\n")
        elif not any(out.glob("*/result.json")):  # a folder of runs keeps what its sweeps set out to do
            (out / MANIFEST).unlink(missing_ok=True)

    @cached_property
    def _in_order(self) -> list[Record]:
        """The records by row and seed, without the folders of the machine."""
        order = sorted(self.records, key=lambda one: (json.dumps(one["row"], sort_keys=True), one["seed"]))
        return [record | {"config": portable(record["config"])} for record in order]


def title_of(records: Sequence[Record]) -> str:
    """The experiment's name, data set and net."""
    config = records[0]["config"]
    return f"{experiments_of(records)} ({config['dataset']['name']}, {config['model']['name']})"


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text: means with their interval, signs before differences, – where there is nothing."""
    text = pd.DataFrame(index=table.index)
    for name in table.columns:
        column, heading = table[name], HEADINGS.get(name, name)
        if f"{name}_ci95" in table:
            pairs = zip(column, table[f"{name}_ci95"], strict=True)
            text[heading] = [with_interval(mean, half, 2 if name == "acc" else 4) for mean, half in pairs]
        elif name in FORMS:
            text[heading] = [number(value, FORMS[name]) for value in column]
        elif name in ("failed", "missing"):
            if any(column):
                text[heading] = [str(value) if value else "" for value in column]
        elif not name.endswith("_ci95") and (name != "anneal" or set(column) != {"none"}):
            text[heading] = [key_text(name, value) for value in column]
    empty = [name for name in ("published", "difference", "loss published") if set(text[name]) == {"–"}]
    return text.drop(columns=empty)


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
