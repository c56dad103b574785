"""Draws the pictures of docs/concepts.md by running the code.

    python scripts/draw_concepts.py [--out docs/concepts]

Units are `binlit.BinaryActivation`s on inputs x in [-3, 3]; only the picture of a site is drawn by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor, nn

import binlit
from binlit.binary import BinaryActivation
from binlit.estimator import ESTIMATORS
from binlit.estimator.surrogate import SURROGATES

X = torch.linspace(-3, 3, 241)
TARGET = 0.25  # of the loss (b - TARGET)^2 in the picture of estimators
DRAWS = 4000


def unit(estimator: str = "st", surrogate: str = "hard_sigmoid", slope: float = 1.0, **settings: Any) -> Any:
    one = BinaryActivation(ESTIMATORS[estimator](), surrogate=surrogate, site="unit", **settings)
    one.slope.fill_(slope)
    return one


def site(figure: Figure) -> None:
    axes = figure.subplots()
    names = ["conv1", "BatchNorm", "MaxPool", "site 1", "conv2", "BatchNorm", "MaxPool", "site 2", "linear", "output"]
    for place, name in enumerate(names):
        colour = {"site 1": "#ffd9b3", "site 2": "#ffd9b3", "output": "#f2c4c4"}.get(name, "#e6e6e6")
        axes.add_patch(
            FancyBboxPatch((place, 0), 0.78, 0.6, boxstyle="round,pad=0.03", facecolor=colour, edgecolor="0.4")
        )
        axes.text(place + 0.39, 0.3, name.replace(" ", "\n"), ha="center", va="center", fontsize=8)
        if place:
            axes.annotate("", (place - 0.03, 0.3), (place - 0.2, 0.3), arrowprops={"arrowstyle": "->", "color": "0.4"})
    axes.text(3.39, 0.95, "activation → binary unit", ha="center", fontsize=8)
    axes.text(7.39, 0.95, "activation → binary unit", ha="center", fontsize=8)
    axes.text(9.39, -0.35, "warned of", ha="center", fontsize=8)
    axes.set(xlim=(-0.2, 10), ylim=(-0.6, 1.3))
    axes.axis("off")


def surrogate(figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    for name in ("hard_sigmoid", "logistic"):
        x = X.clone().requires_grad_()
        p = SURROGATES[name]().probability(x)
        left.plot(X, p.detach(), label=name)
        right.plot(X, torch.autograd.grad(p.sum(), x)[0], label=name)
    few = torch.linspace(-3, 3, 60)
    left.plot(
        few, unit()(few[:, None]).detach()[:, 0], ".", color="0.5", markersize=3, label="bits drawn (hard_sigmoid)"
    )
    left.set_title("p(x), and one bit drawn at each x", fontsize=9)
    right.set_title("dp/dx", fontsize=9)


def slope(figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    for number, value in enumerate((1.0, 2.0, 5.0)):
        x = X.clone()[:, None].requires_grad_()
        torch.manual_seed(0)
        back = torch.autograd.grad(unit(slope=value)(x).sum(), x)[0][:, 0]
        left.plot(X, SURROGATES["hard_sigmoid"]().probability(value * X), color=f"C{number}", label=f"slope {value:g}")
        right.plot(X, back, color=f"C{number}", label=f"slope {value:g}: 0 for |x| > {1 / value:g}")
    left.set_title("p(x)", fontsize=9)
    right.set_title("gradient of st: narrower and higher", fontsize=9)


def estimator(figure: Figure) -> None:
    rows = torch.linspace(-3, 3, 41)
    for axes, name in zip(figure.subplots(1, 3, sharey=True), ("st_sigmoid", "rloo", "detached"), strict=True):
        x = rows.repeat_interleave(DRAWS)[:, None].requires_grad_()
        rule = unit(name, "logistic")
        with binlit.Step(nn.Sequential(rule)) as step:
            loss = step.loss((rule(step.inputs(x))[:, 0] - TARGET).square())
        back = torch.autograd.grad(loss + 0 * x.sum(), x)[0].view(len(rows), DRAWS) * len(x)
        p = torch.sigmoid(rows)
        mean, spread = back.mean(1), back.std(1)
        axes.fill_between(rows, mean - spread, mean + spread, alpha=0.2, linewidth=0)
        axes.plot(rows, mean, label="mean sent back")
        axes.plot(rows, p * (1 - p) * (1 - 2 * TARGET), "k--", linewidth=0.9, label="exact")
        axes.set_title(name, fontsize=9)


def levels(figure: Figure) -> None:
    for axes, name in zip(figure.subplots(1, 2, sharey=True), ("01", "pm1"), strict=True):
        out = unit(levels=name)(X[:, None].expand(-1, DRAWS)).detach()
        axes.plot(X, out.mean(1), label="mean of the draws")
        axes.plot(X[::6], out[::6, 0], ".", color="0.5", markersize=3, label="one draw")
        axes.set_title(f"levels={name}: {'0 and 1' if name == '01' else '-1 and +1'}", fontsize=9)


def evaluation(figure: Figure) -> None:
    """A net with eight units on a line of inputs: what it predicts in each mode."""
    torch.manual_seed(3)
    first, last = nn.Linear(1, 8), nn.Linear(8, 1)
    net = nn.Sequential(first, nn.Hardsigmoid(), last).requires_grad_(False)
    first.weight.mul_(1.5)
    last.weight.mul_(4)

    def predict(mode: str) -> Tensor:
        return torch.sigmoid(
            binlit.binarize(net, "all", "st", surrogate="logistic", evaluation=mode).eval()(X[:, None])
        )[:, 0]

    many = torch.stack([predict("sample") for _ in range(2000)])
    shown = {"sample (one draw)": many[0], "threshold": predict("threshold"), "mean of 20 draws": many[:20].mean(0)}
    for axes, (name, values) in zip(figure.subplots(1, 3, sharey=True), shown.items(), strict=True):
        axes.plot(X, values, linewidth=0.9, label=name)
        axes.plot(X, many.mean(0), "k--", linewidth=0.9, label="mean of 2,000 draws")
        axes.set_title(name, fontsize=9)


PICTURES: dict[str, Callable[[Figure], None]] = {
    one.__name__: one for one in (site, surrogate, slope, estimator, levels, evaluation)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/concepts"))
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        torch.manual_seed(0)
        figure = Figure(figsize=(8, 1.4 if name == "site" else 2.5), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        for axes in figure.axes if name != "site" else []:
            axes.grid(alpha=0.3)
            axes.tick_params(labelsize=7)
            axes.legend(fontsize=7)
        figure.savefig(out / f"{name}.png", dpi=110)
    print(f"written: {len(PICTURES)} pictures in {out}")


if __name__ == "__main__":
    main()
