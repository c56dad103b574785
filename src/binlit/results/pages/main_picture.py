"""A table as a picture: one glance shows which rows lose what."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import pandas as pd

from binlit.results.colours import colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Line = dict[str, Any]
MOST = 500  # rows; 50,000 pixels below each other take minutes, and no viewer shows them


def draw_table(table: pd.DataFrame, title: str) -> Figure:
    """Test error of every row on a logarithmic scale: dots with intervals, published values as open diamonds.

    Of a very long table the first rows, and the title says so.
    """
    from matplotlib.figure import Figure

    if len(table) > MOST:
        table, title = table.iloc[:MOST], f"{title}: the first {MOST} of {len(table)} rows"
    lines: list[Line] = [{str(k): v for k, v in line.items()} for line in table.iloc[::-1].to_dict("records")]
    size = (10 if "net" not in table else 12, 1.6 + 0.32 * len(lines))
    figure = Figure(figsize=size, layout="constrained", dpi=130)
    axes = figure.add_subplot()
    base = [line["acc"] for line in lines if line["layer"] == "none"]
    if len(base) == 1 and not math.isnan(base[0]):
        axes.axvline(100 - base[0], color="black", linewidth=0.8, linestyle="--", zorder=0)
    for y, line in enumerate(lines):
        _draw(axes, y, line)
    axes.set_yticks(range(len(lines)), [textwrap.fill(_label(line), 72) for line in lines], fontsize=8)
    axes.set_xscale("log")
    _log_ticks(axes)
    axes.set_xlabel("test error (%), log scale; dashed: no binary layer; diamond: published; bar: 95 % interval")
    axes.grid(axis="x", alpha=0.3, which="both")
    axes.set_title(title, loc="left", fontsize=10)
    axes.annotate("accuracy %", (1.01, len(lines) - 0.3), xycoords=("axes fraction", "data"), fontsize=8, va="bottom")
    axes.set_ylim(-0.7, len(lines) - 0.3)
    return figure


def _draw(axes: Any, y: int, line: Line) -> None:
    hue = colour(str(line["estimator"]))
    published = 100 - line["acc_published"]
    if not math.isnan(published):
        axes.plot(published, y, marker="D", markersize=7, markerfacecolor="none", color="dimgray", linestyle="none")
    said = "no run"
    if line["n"]:
        error, half = 100 - line["acc"], line["acc_ci95"]
        width = None
        if not math.isnan(half):
            width = [[error - max(error - half, error / 3)], [half]]  # a logarithmic axis has no room for 0
        axes.errorbar(error, y, xerr=width, marker="o", color=hue, capsize=3)
        said = f"{line['acc']:.2f}" + ("" if math.isnan(half) else f" ± {half:.2f}") + f"  (n={line['n']})"
    problems = ", ".join(f"{line[name]} {name}" for name in ("failed", "missing") if line[name])
    axes.annotate(
        said + (f", {problems}" if problems else ""),
        (1.01, y),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=8,
        color="red" if line["failed"] or not line["n"] else hue,
    )


def _log_ticks(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label(line: Line) -> str:
    net = [f"{line['net']}:"] if line.get("net") else []
    weights = f"{line['weights']} weights" if line.get("weights") else ""
    weights += f" ({line['weight']})" if weights and line.get("weight") else ""
    setting = [str(line["setting"])] if line.get("setting") else []
    if line["layer"] == "none":
        return " ".join([*net, ", ".join([weights or "no binary layer", *setting])])
    where = "all layers" if line["layer"] == "all" else f"layer {line['layer']}"
    extra = [str(line["anneal"])] if line["anneal"] != "none" else []
    extra += [weights] if weights else []
    extra += [f"threshold {line['threshold']}"] if line.get("threshold", "") != "" else []
    return " ".join([*net, ", ".join([f"{line['estimator']} {line['mode']}", where, *extra, *setting])])
