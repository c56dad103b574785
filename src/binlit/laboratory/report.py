"""Table and pictures of a study of gradients, from its records alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from binlit.files import write_whole
from binlit.paths import RECORDS
from binlit.results.colours import family
from binlit.results.markdown import markdown_table

Record = dict[str, Any]
HEADINGS = {
    "estimator": "estimator", "surrogate": "p of the bit", "bias": "relative bias", "variance": "variance",
    "cosine": "cosine", "cosine_one": "cosine of one", "passes": "passes",
    "variance_at_equal_cost": "variance × passes", "microseconds": "µs",
}  # fmt: skip
NOTES = (
    "relative bias: |mean estimate − g| / |g|, g the exact gradient of the layers that learn through a binary unit, ± "
    "its standard error by chance alone; variance: tr Cov / |g|² of one estimate; cosine: of the mean estimate to g, "
    "and of one estimate to g on average; passes: forward passes an estimate needs; variance × passes: at equal cost; "
    "µs: wall time of one estimate, forward and backward, many at once. Each layer's own figures are in table.csv.",
    "Each estimator is measured with the firing probability that it is used with, so that the exact gradient is that "
    "of its own bits. st_identity, st_clipped and the shaped rules are written for sign(x): on bits of 0 and 1 their "
    "scale is twice that of the bit, which counts as bias here; the cosine does not see it.",
)


def write_study(records: Sequence[Record], out: Path) -> None:
    """Prints the tables and writes records.jsonl, table.md, table.csv, gradients.png and toys.png into `out`."""
    from binlit.laboratory.picture import draw_figures, draw_toys

    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / RECORDS, "".join(json.dumps(record, sort_keys=True) + "\n" for record in records))
    lines = [_line(record) for record in records if record["kind"] == "enumeration"]
    toys = [record for record in records if record["kind"] == "toy"]
    table = pd.DataFrame(lines)
    page, written = ["# Gradient estimators against exact enumeration", ""], [RECORDS, "table.md"]
    if lines:
        for net, steps in dict.fromkeys(zip(table["net"], table["steps"], strict=True)):
            part = table.loc[(table["net"] == net) & (table["steps"] == steps), :]
            title = f"{net} binary units, " + (f"after {steps} steps of training" if steps else "at initialisation")
            text = cells(part)
            _print(text, title)
            page += [f"## {title}", "", *markdown(text), ""]
        page += [f"{note}\n" for note in NOTES]
        write_whole(out / "table.csv", table.to_csv(index=False, float_format="%.6g"))
        draw_figures(table, out / "gradients.png")
        written += ["table.csv", "gradients.png"]
    if toys:
        text = toy_cells(toys)
        _print(text, "Toy: p after the last step")
        page += ["## Toy: p after the last step", "", *markdown(text), ""]
        steps, copies = toys[0]["config"]["toys"]["steps"], toys[0]["config"]["toys"]["copies"]
        page += [
            f"Minimise E[(b − t)²] from p = 0.7: {steps} steps of Adam, {copies} draws a step. The minimum is p = 0.\n"
        ]
        draw_toys(toys, out / "toys.png")
        written += ["toys.png"]
    made = records[0]
    page += [
        f"{made['config']['draws']} draws of each, {made['config']['examples']} examples, seed "
        f"{made['config']['seed']}; "
        f"made on {made['hardware']['processor']}, {made['hardware']['threads']} thread(s), torch "
        f"{made['versions']['torch']}, by python -m binlit.gradients.\n"
    ]
    write_whole(out / "table.md", "\n".join(page))
    print(f"written: {', '.join(str(out / name) for name in written)}")


def _line(record: Record) -> dict[str, Any]:
    metrics = dict(record["metrics"])
    seconds = metrics.pop("seconds")
    layers = {
        f"layer{i}_{key}": value for i, layer in enumerate(record["layers"], start=1) for key, value in layer.items()
    }
    return {
        "net": "+".join(map(str, record["units"])),
        "steps": record["steps"],
        "estimator": record["estimator"],
        "family": family(record["estimator"]),
        "surrogate": record["options"]["surrogate"],
        **metrics,
        "microseconds": 1e6 * seconds,
        **layers,
    }


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text."""
    forms = {
        "variance": ".2f",
        "cosine": ".3f",
        "cosine_one": ".3f",
        "variance_at_equal_cost": ".2f",
        "microseconds": ".0f",
    }
    text = pd.DataFrame(index=table.index)
    for name, heading in HEADINGS.items():
        if name == "bias":
            pairs = zip(table["bias"], table["bias_error"], strict=True)
            text[heading] = [f"{bias:.3f} ± {error:.3f}" for bias, error in pairs]
        else:
            text[heading] = [format(value, forms.get(name, "")) for value in table[name]]
    return text


def toy_cells(toys: Sequence[Record]) -> pd.DataFrame:
    """Final p, an estimator a row, a target a column."""
    frame = pd.DataFrame({"estimator": t["estimator"], f"t = {t['target']}": t["metrics"]["p"]} for t in toys)
    return frame.groupby("estimator", sort=False).first().map(lambda p: f"{p:.3f}").reset_index()


def markdown(text: pd.DataFrame) -> list[str]:
    return markdown_table(list(text.columns), text.itertuples(index=False), list(text.columns)[1:])


def _print(text: pd.DataFrame, title: str) -> None:
    shown = Table(title=title, title_justify="left")
    for i, name in enumerate(text.columns):
        shown.add_column(name, justify="right" if i else "left")
    for row in text.itertuples(index=False):
        shown.add_row(*row)
    Console(width=None if Console().is_terminal else 160).print(shown)
