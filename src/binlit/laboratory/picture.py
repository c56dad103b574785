"""Pictures of a study of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from binlit.results.colours import colour, family, unbiased

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = ("o", "s", "^", "D", "v", "P")
SHADES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))


def draw_figures(table: pd.DataFrame) -> Figure:
    """Bias, variance at equal cost and cosine of one estimate: a line for each estimator, a mark for each net."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    names = list(dict.fromkeys(table["estimator"]))[::-1]
    nets = list(dict.fromkeys(zip(table["net"], table["steps"], strict=True)))
    figure = Figure(figsize=(12, 2 + 0.28 * len(names)), layout="constrained", dpi=120)
    axes = figure.subplots(1, 3, sharey=True)
    lines: list[dict[str, Any]] = [{str(k): v for k, v in line.items()} for line in table.to_dict("records")]
    for line in lines:
        y = names.index(line["estimator"]) + 0.16 * (nets.index((line["net"], line["steps"])) - (len(nets) - 1) / 2)
        mark = MARKS[nets.index((line["net"], line["steps"])) % len(MARKS)]
        style: dict[str, Any] = {"marker": mark, "color": colour(line["estimator"]), "linestyle": "none"}
        within_chance = line["bias"] < 2 * line["bias_error"]
        axes[0].plot(
            max(line["bias"], 1e-3), y, **style, markersize=5, markerfacecolor="none" if within_chance else None
        )
        axes[1].plot(max(line["variance_at_equal_cost"], 1e-2), y, **style, markersize=5)
        axes[2].plot(line["cosine_one"], y, **style, markersize=5)
    axes[0].set_yticks(range(len(names)), names, fontsize=9)
    for label, name in zip(axes[0].get_yticklabels(), names, strict=True):
        label.set_color(colour(name))
    axes[0].set_xscale("log")
    axes[1].set_xscale("log")
    axes[0].set_xlabel("relative bias (hollow: no more than chance)")
    axes[1].set_xlabel("variance × passes, in units of |g|²")
    axes[2].set_xlabel("cosine of one estimate to the exact gradient")
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.set_ylim(-0.7, len(names) - 0.3)
    handles = [
        Line2D([], [], marker=MARKS[i % len(MARKS)], color="gray", linestyle="none", label=_net(*net))
        for i, net in enumerate(nets)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(nets), frameon=False, fontsize=9)
    return figure


def _net(units: str, steps: int) -> str:
    return f"{units} units, " + (f"{steps} steps" if steps else "initial")


def draw_toys(toys: Sequence[dict[str, Any]]) -> Figure:
    """p against the step: biased rules on the left, unbiased ones on the right, a row for each target."""
    from matplotlib.figure import Figure

    targets = list(dict.fromkeys(toy["target"] for toy in toys))
    figure = Figure(figsize=(12, 1 + 4 * len(targets)), layout="constrained", dpi=110)
    axes = figure.subplots(len(targets), 2, sharex=True, sharey=True, squeeze=False)
    for toy in toys:
        group = family(toy["estimator"])
        column = int(unbiased(group))
        ax = axes[targets.index(toy["target"])][column]
        mine = [t["estimator"] for t in toys if t["target"] == toy["target"] and family(t["estimator"]) == group]
        ax.plot(
            [i * toy["stride"] for i in range(len(toy["curve"]))],
            toy["curve"],
            color=colour(toy["estimator"]),
            linestyle=SHADES[mine.index(toy["estimator"]) % len(SHADES)],
            linewidth=1.4,
            label=f"{toy['estimator']} ({toy['metrics']['p']:.3f})",
        )
    for target, row in zip(targets, axes, strict=True):
        for ax, kind in zip(row, ("biased", "unbiased"), strict=True):
            ax.axhline(target, color="black", linewidth=0.8, linestyle=":")
            ax.annotate(f"p = t = {target}", (0, target), fontsize=8, va="bottom")
            ax.set_title(f"minimise E[(b − {target})²]: {kind}", loc="left", fontsize=10)
            ax.grid(alpha=0.3)
            ax.set_ylim(-0.02, 0.85)
            ax.legend(fontsize=7, ncols=2, loc="upper right", title="(p at the end)", title_fontsize=7)
        row[0].set_ylabel("p = P(b = 1)")
    for ax in axes[-1]:
        ax.set_xlabel("step of Adam")
    return figure
