"""Accuracy against what an estimator costs: the passes of one step, counted on the net of each record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from binlit.files import whole
from binlit.results.colours import colour
from binlit.results.markdown import markdown_table
from binlit.results.record import Record


def passes_table(records: Sequence[Record], passes_of: Callable[[Record], int]) -> pd.DataFrame:
    """Columns layer, estimator, passes, accuracy (per cent, mean over seeds), n; by layer, then by passes.

    `passes_of` counts the passes of one training step of a record's net.
    """
    lines = [
        {
            "layer": record["row"]["layer"],
            "estimator": record["row"]["estimator"],
            "passes": passes_of(record),
            "accuracy": 100 * record["metrics"]["test/acc"],
        }
        for record in records
        if record["status"] == "ok"
    ]
    groups = pd.DataFrame(lines).groupby(["layer", "estimator", "passes"], sort=False)["accuracy"]
    table = groups.agg(["mean", "count"]).reset_index().rename(columns={"mean": "accuracy", "count": "n"})
    return table.sort_values(["layer", "passes", "accuracy"], ascending=[True, True, False], ignore_index=True)


def passes_markdown(table: pd.DataFrame) -> str:
    """The table as a Markdown page."""
    headings = ["layer", "estimator", "passes", "accuracy %", "n"]
    rows = [
        [line["layer"], line["estimator"], line["passes"], f"{line['accuracy']:.2f}", line["n"]]
        for line in table.to_dict("records")
    ]
    lines = ["# Accuracy against passes", "", *markdown_table(headings, rows, headings[2:])]
    note = "passes: copies of the batch behind the last binary layer in one step. Layers below the first run once."
    return "\n".join([*lines, "", note, ""])


def passes_picture(table: pd.DataFrame, path: Path) -> None:
    """Test error against passes, both logarithmic, a panel for each layer; names at the points, best first."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    layers = [layer for layer in dict.fromkeys(table["layer"]) if layer != "none"]
    base = table.loc[table["layer"] == "none", "accuracy"]
    figure = Figure(figsize=(5 * len(layers), 8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(layers), sharey=True, squeeze=False)[0]
    counts = sorted(set(table["passes"]))
    for ax, layer in zip(panels, layers, strict=True):
        lines: list[dict[str, Any]] = [
            {str(k): v for k, v in line.items()} for line in table.to_dict("records") if line["layer"] == layer
        ]
        _name_points(ax, lines)
        if len(base):
            ax.axhline(100 - float(base.iloc[0]), color="black", linestyle="--", linewidth=0.8)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xlim(0.8, 3.5 * counts[-1])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.grid(alpha=0.3)
        ax.set_title("both layers" if layer == "all" else f"layer {layer}", loc="left", fontsize=10)
        ax.set_xlabel("passes a step (log)")
    panels[0].set_ylabel("test error (%), log scale; dashed: no binary layer")
    with whole(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _name_points(ax: Any, lines: Sequence[dict[str, Any]]) -> None:
    """Points, and their names to the right, moved apart where they would overlap."""
    import math

    for count in dict.fromkeys(line["passes"] for line in lines):
        column = sorted((line for line in lines if line["passes"] == count), key=lambda line: -line["accuracy"])
        last = -math.inf
        for line in column:
            error = 100 - line["accuracy"]
            hue = colour(line["estimator"])
            at = max(math.log(error), last + 0.055)
            last = at
            ax.plot(count, error, "o", color=hue, markersize=5)
            ax.annotate(
                line["estimator"],
                (count, error),
                xytext=(count * 1.25, math.exp(at)),
                fontsize=7,
                color=hue,
                va="center",
                arrowprops={"arrowstyle": "-", "color": hue, "linewidth": 0.4},
            )
