"""Table and pictures of a study of gradients, from its records alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from binlit.laboratory.picture import draw_figures, draw_toys
from binlit.paths import RECORDS
from binlit.results.colours import family
from binlit.results.page import Page
from binlit.results.reading import Record, as_lines
from binlit.results.text import markdown_page, markdown_table, print_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADINGS = {
    "estimator": "estimator", "surrogate": "p of the bit", "bias": "relative bias", "variance": "variance",
    "cosine": "cosine", "cosine_one": "cosine of one", "passes": "passes",
    "variance_at_equal_cost": "variance × passes", "microseconds": "µs",
}  # fmt: skip
FORMS = {
    "variance": ".2f", "cosine": ".3f", "cosine_one": ".3f", "variance_at_equal_cost": ".2f", "microseconds": ".0f",
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


TOY = "Toy: p after the last step"


class Study(Page):
    """A study of gradients: records.jsonl, table.md, table.csv, gradients.png and toys.png."""

    name = "table"

    def frame(self) -> pd.DataFrame:
        """One line for each estimator, net and number of steps: its figures against enumeration, without the toys."""
        return pd.DataFrame([_line(record) for record in self.records if record["kind"] == "enumeration"])

    def markdown(self, frame: pd.DataFrame) -> str:
        parts = ["# Gradient estimators against exact enumeration"]
        for title, text in _by_net(frame).items():
            parts += [f"## {title}", _table(text)]
        parts += NOTES if len(frame) else ()
        if toys := self._toys():
            steps, copies = toys[0]["config"]["toys"]["steps"], toys[0]["config"]["toys"]["copies"]
            parts += [
                f"## {TOY}",
                _table(toy_cells(toys)),
                f"Minimise E[(b − t)²] from p = 0.7: {steps} steps of Adam, {copies} draws a step. "
                "The minimum is p = 0.",
            ]
        config, hardware, versions = (self.records[0][name] for name in ("config", "hardware", "versions"))
        return markdown_page(
            *parts,
            f"{config['draws']} draws of each, {config['examples']} examples, seed {config['seed']}; made on "
            f"{hardware['processor']}, {hardware['threads']} thread(s), torch {versions['torch']}, "
            "by python -m binlit.gradients.",
        )

    def files(self, frame: pd.DataFrame) -> dict[str, str | Figure]:
        files: dict[str, str | Figure] = {RECORDS: as_lines(self.records), "table.md": self.markdown(frame)}
        if len(frame):
            files |= {"table.csv": frame.to_csv(index=False, float_format="%.6g"), "gradients.png": draw_figures(frame)}
        if toys := self._toys():
            files["toys.png"] = draw_toys(toys)
        return files

    def show(self, frame: pd.DataFrame) -> None:
        """Prints a table for each net, and the toys'."""
        toys = {TOY: toy_cells(self._toys())} if self._toys() else {}
        for title, text in (_by_net(frame) | toys).items():
            print_table(text, title, list(text.columns[1:]))

    def _toys(self) -> list[Record]:
        return [record for record in self.records if record["kind"] == "toy"]


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


def _by_net(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """{title: the table of one net as text}."""
    if not len(table):
        return {}
    return {
        f"{net} binary units, " + (f"after {steps} steps of training" if steps else "at initialisation"): cells(part)
        for (net, steps), part in table.groupby(["net", "steps"], sort=False)  # pyright: ignore[reportGeneralTypeIssues]
    }


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text."""
    text = pd.DataFrame(index=table.index)
    for name, heading in HEADINGS.items():
        text[heading] = [format(value, FORMS.get(name, "")) for value in table[name]]
    pairs = zip(table["bias"], table["bias_error"], strict=True)
    text[HEADINGS["bias"]] = [f"{bias:.3f} ± {error:.3f}" for bias, error in pairs]
    return text


def toy_cells(toys: list[Record]) -> pd.DataFrame:
    """Final p, an estimator a row, a target a column."""
    frame = pd.DataFrame({"estimator": t["estimator"], f"t = {t['target']}": t["metrics"]["p"]} for t in toys)
    return frame.groupby("estimator", sort=False).first().map(lambda p: f"{p:.3f}").reset_index()


def _table(text: pd.DataFrame) -> str:
    return markdown_table(list(text.columns), text.itertuples(index=False), list(text.columns)[1:])
