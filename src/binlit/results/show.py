"""A table on the console, as Markdown, and as a picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from binlit.results.record import Record

HEADINGS = {
    "layer": "layer", "mode": "mode", "estimator": "estimator", "anneal": "anneal", "setting": "setting", "n": "n",
    "acc": "accuracy %", "acc_cost": "cost", "acc_published": "published", "acc_difference": "difference",
    "loss": "loss", "loss_published": "loss published", "failed": "failed", "missing": "missing",
}  # fmt: skip


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text: means with their interval, signs before differences, – where there is nothing."""
    text = pd.DataFrame(index=table.index)
    for name in table.columns:
        if name.endswith("_ci95"):
            continue
        if name in ("acc", "loss"):
            digits = 2 if name == "acc" else 4
            pairs = zip(table[name], table[f"{name}_ci95"], strict=True)
            text[HEADINGS[name]] = [_mean(mean, half, digits) for mean, half in pairs]
        elif name in ("acc_cost", "acc_difference"):
            text[HEADINGS[name]] = [_number(value, "+.2f") for value in table[name]]
        elif name in ("acc_published", "loss_published"):
            text[HEADINGS[name]] = [_number(value, ".2f" if name == "acc_published" else ".4f") for value in table[name]]
        elif name in ("failed", "missing"):
            if table[name].any():
                text[HEADINGS[name]] = [str(value) if value else "" for value in table[name]]
        elif not (name == "anneal" and (table[name] == "none").all()):
            text[HEADINGS.get(name, name)] = ["–" if str(value) == "none" and name != "layer" else str(value) for value in table[name]]
    if (text.get("published") == "–").all():
        text = text.drop(columns=["published", "difference", "loss published"])
    return text


def to_console(table: pd.DataFrame, title: str) -> None:
    """Prints the table; failed and missing runs in red."""
    text = cells(table)
    shown = Table(title=title, title_justify="left")
    left = ("layer", "mode", "estimator", "anneal", "setting")
    for name in text.columns:
        shown.add_column(name, justify="left" if name in left else "right", style="red" if name in ("failed", "missing") else "")
    for row in text.itertuples(index=False):
        shown.add_row(*row)
    Console(width=None if Console().is_terminal else 160).print(shown)


def to_markdown(table: pd.DataFrame, title: str, footnotes: Sequence[str]) -> str:
    """The table as GitHub Markdown, with its footnotes."""
    text = cells(table)
    numbers = {"n", "accuracy %", "cost", "published", "difference", "loss", "loss published", "failed", "missing"}
    lines = [
        f"# {title}",
        "",
        "| " + " | ".join(text.columns) + " |",
        "|" + "|".join(" ---: " if name in numbers else " --- " for name in text.columns) + "|",
        *("| " + " | ".join(row) + " |" for row in text.itertuples(index=False)),
        "",
    ]
    return "\n".join([*lines, *(f"{note}\n" for note in footnotes)])


def footnotes(records: Sequence[Record], source: str | None) -> list[str]:
    """What the columns mean, and what made the numbers; from the records."""
    done = [record for record in records if record["status"] == "ok"]
    notes = [
        "accuracy and loss: test set, epoch of the best validation loss, mean ± half-width of the 95 % t interval over "
        "n seeds. cost: points of accuracy less than the net with no binary layer."
    ]
    if source:
        notes.append(f"published: {source}. difference: ours less published, in points.")
    for record in records:
        if record["status"] != "ok":
            notes.append(f"failed: {' '.join(map(str, record['row'].values()))}, seed {record['seed']}: {record['error']}")
    if done:
        sizes = sorted({str(record["metrics"].get("test/n")) for record in done})
        made = Counter(
            f"{r['hardware']['gpu'] or r['hardware']['processor']}, {r['hardware']['threads']} thread(s), "
            f"torch {r['versions']['torch']}"
            for r in done
        )
        hours = sum(record["duration"] for record in done) / 3600
        notes.append(
            f"{len(done)} runs of {', '.join(sorted({str(r['config']['trainer']['max_epochs']) for r in done}))} epochs, "
            f"{hours:.2f} hours of training in all, {' or '.join(sizes)} test examples; made on "
            + "; ".join(f"{name} ({count} runs)" for name, count in made.items())
            + "."
        )
    return notes


def to_picture(table: pd.DataFrame, title: str, path: Path) -> None:
    """Test error of every row on a logarithmic scale: dots with intervals, published values as open diamonds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    colours = {"none": "black", "st": "tab:blue", "detached": "tab:red", "reinforce": "tab:orange", "rloo": "tab:green"}
    lines = list(table.iloc[::-1].iterrows())
    figure = Figure(figsize=(9, 1.6 + 0.32 * len(lines)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    base = table.loc[table["layer"] == "none", "acc"]
    if len(base) == 1 and not math.isnan(base.iloc[0]):
        axes.axvline(100 - base.iloc[0], color="black", linewidth=0.8, linestyle="--", zorder=0)
    labels = []
    for y, (_, line) in enumerate(lines):
        colour = colours.get(str(line["estimator"]), "tab:purple")
        published = 100 - line["acc_published"]
        if not math.isnan(published):
            axes.plot(published, y, marker="D", markersize=7, markerfacecolor="none", color="dimgray", linestyle="none")
        if line["n"]:
            error, half = 100 - line["acc"], line["acc_ci95"]
            low = max(error - half, error / 3) if not math.isnan(half) else error
            width = None if math.isnan(half) else [[error - low], [half]]
            axes.errorbar(error, y, xerr=width, marker="o", color=colour, capsize=3)
            said = f"{line['acc']:.2f}" + (f" ± {half:.2f}" if not math.isnan(half) else "") + f"  (n={line['n']})"
        else:
            said = "no run"
        problems = ", ".join(f"{line[name]} {name}" for name in ("failed", "missing") if line[name])
        axes.annotate(said + (f", {problems}" if problems else ""), (1.01, y), xycoords=("axes fraction", "data"), va="center",
                      fontsize=8, color="red" if problems else colour)  # fmt: skip
        labels.append(_label(line))
    axes.set_yticks(range(len(lines)), labels, fontsize=8)
    axes.set_xscale("log")
    _log_ticks(axes)
    axes.set_xlabel("test error (%), logarithmic; dashed: no binary layer; diamonds: published; bars: 95 % interval over seeds")
    axes.grid(axis="x", alpha=0.3, which="both")
    axes.set_title(title, loc="left", fontsize=10)
    axes.annotate("accuracy %", (1.01, len(lines) - 0.3), xycoords=("axes fraction", "data"), fontsize=8, va="bottom")
    axes.set_ylim(-0.7, len(lines) - 0.3)
    figure.savefig(path, dpi=130)


def _log_ticks(axes: object) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis  # type: ignore[attr-defined]
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _label(line: pd.Series) -> str:
    if line["layer"] == "none":
        return "no binary layer"
    where = "all layers" if line["layer"] == "all" else f"layer {line['layer']}"
    extra = [str(line["anneal"])] if line["anneal"] != "none" else []
    extra += [str(line["setting"])] if line.get("setting") else []
    return ", ".join([f"{line['estimator']} {line['mode']}", where, *extra])


def _mean(mean: float, half: float, digits: int) -> str:
    if math.isnan(mean):
        return "–"
    return f"{mean:.{digits}f}" + ("" if math.isnan(half) else f" ± {half:.{digits}f}")


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)
