"""Accuracy against what an estimator costs: the passes of one step, counted on the net of each record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from binlit.results.colours import colour
from binlit.results.page import Page
from binlit.results.text import markdown_page, markdown_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE = "passes: copies of the batch behind the last binary layer in one step. Layers below the first run once."


class Passes(Page):
    """Accuracy against passes; `asked` counts the passes of one training step of a record's net."""

    name = "passes"

    def frame(self) -> pd.DataFrame:
        """Columns layer, estimator, passes, accuracy (per cent, mean over seeds), n; by layer, then by passes."""
        lines = [
            {
                "layer": record["row"]["layer"],
                "estimator": record["row"]["estimator"],
                "passes": self.asked(record),
                "accuracy": 100 * record["metrics"]["test/acc"],
            }
            for record in self.records
            if record["status"] == "ok"
        ]
        keys = ["layer", "estimator", "passes"]
        groups = pd.DataFrame(lines, columns=[*keys, "accuracy"]).groupby(keys, sort=False)["accuracy"]
        table = groups.agg(["mean", "count"]).reset_index().rename(columns={"mean": "accuracy", "count": "n"})
        return table.sort_values(["layer", "passes", "accuracy"], ascending=[True, True, False], ignore_index=True)

    def markdown(self, frame: pd.DataFrame) -> str:
        headings = ["layer", "estimator", "passes", "accuracy %", "n"]
        rows = frame.assign(accuracy=frame["accuracy"].map("{:.2f}".format)).itertuples(index=False)
        return markdown_page("# Accuracy against passes", markdown_table(headings, rows, headings[2:]), NOTE)

    def picture(self, frame: pd.DataFrame) -> Figure | None:
        """Test error against passes, both logarithmic, a panel for each layer; names at the points, best first.

        None where no run has a binary layer.
        """
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

        layers = [layer for layer in dict.fromkeys(frame["layer"]) if layer != "none"]
        if not layers:
            return None
        base = frame.loc[frame["layer"] == "none", "accuracy"]
        figure = Figure(figsize=(5 * len(layers), 8), layout="constrained", dpi=110)
        panels = figure.subplots(1, len(layers), sharey=True, squeeze=False)[0]
        counts = sorted(set(frame["passes"]))
        for ax, layer in zip(panels, layers, strict=True):
            _name_points(ax, frame.loc[frame["layer"] == layer, :])
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
        return figure


def _name_points(ax: Any, frame: pd.DataFrame) -> None:
    """Points, and their names to the right, moved apart where they would overlap."""
    for count in sorted(set(frame["passes"])):
        last = -math.inf
        for line in frame.loc[frame["passes"] == count, :].to_dict("records"):
            error, hue = max(100 - line["accuracy"], 0.01), colour(line["estimator"])  # a logarithmic axis has no 0
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
