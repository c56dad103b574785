"""Draws what every surrogate and estimator does to one unit, by running it: docs/estimators.md and its pictures.

    python scripts/draw_estimators.py [--out docs]

A unit sees x in [-3, 3], many draws at each x, and the loss is the bit itself, so that the exact derivative is dp/dx.
Left: what the unit sends on, mean and spread over draws. Right: the derivative that comes back to x, mean and spread
(one standard deviation), against dp/dx. The text of the page is taken from the docstrings.
"""

from __future__ import annotations

import argparse
import inspect
import re
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from binlit.binary import BinaryActivation
from binlit.catalogue import packaged
from binlit.catalogue.build import build
from binlit.estimator import ESTIMATORS, Call, Estimator, Step
from binlit.estimator.surrogate import SURROGATES
from binlit.laboratory.settings import estimator_node

X = torch.linspace(-3, 3, 121, dtype=torch.float64)
DRAWS, WARM = 4000, 100
SCHEDULED = {"ede": (1, 5, 10), "reste": (1, 5, 10)}  # epochs of 10 that are drawn


def fresh(name: str, epoch: int) -> BinaryActivation:
    node = estimator_node(name, {"epochs": 10} if name in SCHEDULED else {})
    rule: Estimator = build(node, without=("name", "surrogate"))
    rule.prepare({"unit": (1,)})
    rule.begin_epoch(epoch)
    return BinaryActivation(rule, surrogate=node["surrogate"], site="unit").double()


def responses(unit: BinaryActivation) -> tuple[Tensor, Tensor]:
    """(what is sent on, what comes back) for each x and draw, (121, draws) each; the loss is the bit."""
    for x in X[:: len(X) // WARM]:  # lets moving averages settle
        with Step(unit) as step:
            out = unit(step.inputs(x.expand(500, 1)))
            step.loss(out.squeeze(1))
    rows = X.repeat_interleave(DRAWS)[:, None].clone().requires_grad_()
    with Step(unit) as step:
        out = unit(step.inputs(rows))
        loss = step.loss(out.squeeze(1))
        sent = step.drawn(out.detach())
        weights = step.draws[0].weights if step.draws else None
        sent = sent if weights is None else sent * weights.reshape(-1, 1)
    back = torch.autograd.grad(loss + 0 * rows.sum(), rows)[0] * len(rows)
    lanes = len(sent) // len(rows)
    return sent.view(lanes, len(X), DRAWS).mean(0) if lanes > 1 else sent.view(len(X), DRAWS), back.view(len(X), DRAWS)


def slope_of_p(unit: BinaryActivation) -> tuple[Tensor, Tensor]:
    """p and dp/dx over X."""
    x = X.clone().requires_grad_()
    shifted, z = unit.pre_activation(x)
    p = unit.estimator.firing_probability(Call(shifted, z, unit.surrogate, unit.low, True, None, "unit"))
    return p.detach(), torch.autograd.grad(p.sum(), x)[0]


def draw_estimator(name: str, path: Path) -> None:
    epochs = SCHEDULED.get(name, (1,))
    figure = Figure(figsize=(8, 2.3), layout="constrained")
    FigureCanvasAgg(figure)
    forward, backward = figure.subplots(1, 2)
    for epoch in epochs:
        unit = fresh(name, epoch)
        sent, back = responses(unit)
        p, slope = slope_of_p(unit)
        colour = f"C{epochs.index(epoch)}"
        if epoch == epochs[0]:
            forward.plot(X, p, color="black", linewidth=0.9, linestyle="--", label="p")
            backward.plot(X, slope, color="black", linewidth=0.9, linestyle="--", label="dp/dx")
            _band(forward, sent, colour, "sent on")
        _band(backward, back, colour, "sent back" if len(epochs) == 1 else f"epoch {epoch} of 10")
    forward.set_title(f"{name}: forward", loc="left", fontsize=9)
    backward.set_title("backward", loc="left", fontsize=9)
    low, high = backward.get_ylim()
    backward.set_ylim(max(low, -3), min(high, 5))
    for axes in (forward, backward):
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=90)


def _band(axes, values: Tensor, colour: str, label: str) -> None:
    mean, spread = values.mean(1), values.std(1)
    axes.fill_between(X, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)
    axes.plot(X, mean, color=colour, linewidth=1.4, label=label)


def draw_surrogates(path: Path) -> None:
    figure = Figure(figsize=(8, 2.3), layout="constrained")
    FigureCanvasAgg(figure)
    forward, backward = figure.subplots(1, 2)
    for name, surrogate in SURROGATES.items():
        x = X.clone().requires_grad_()
        p = surrogate().probability(x)
        style = "--" if name == "hard_tanh" else "-"
        forward.plot(X, p.detach(), style, label=name)
        backward.plot(X, torch.autograd.grad(p.sum(), x)[0], style, label=name)
    forward.set_title("surrogates: p(x)", loc="left", fontsize=9)
    backward.set_title("dp/dx", loc="left", fontsize=9)
    for axes in (forward, backward):
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=90)


def described(name: str) -> str:
    """The docstring of an estimator as Markdown: its sentences, without what is about arguments and errors."""
    text = inspect.cleandoc(ESTIMATORS[name].__doc__ or "")
    text = re.split(r"\n\s*\n(?:Args|Attributes|Raises):", text)[0]
    if elsewhere := packaged("estimator")[name].facts.also_known_as:
        text += f"\nAlso known as: {', '.join(elsewhere)}."
    text = re.sub(r"\n+(?=(?:Forward|Backward|Bias and variance|Source|Character|Passes|Also known as):)", "\n\n", text)
    return re.sub(r"^(Forward|Backward|Bias and variance|Source|Character|Also known as):", r"*\1:*", text, flags=re.M)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs"))
    out: Path = parser.parse_args().out
    pictures = out / "estimators"
    pictures.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    draw_surrogates(pictures / "surrogates.png")
    page = [
        "# Every estimator, forward and backward",
        "",
        "Made by running the code: `python scripts/draw_estimators.py`. One unit, the loss is its bit, so that the",
        f"exact derivative is dp/dx (dashed). Line: mean over {DRAWS} draws; band: one standard deviation. The score",
        "functions' spread is their noise on this simplest of losses, averaged over a step's own draws.",
        "How far each is from the exact gradient of a net: [results/gradients](results/gradients/table.md).",
        "",
        "![p and dp/dx of every surrogate](estimators/surrogates.png)",
        "",
    ]
    for name in ESTIMATORS:
        draw_estimator(name, pictures / f"{name}.png")
        page += [f"## {name}", "", described(name), "", f"![{name}](estimators/{name}.png)", ""]
    (out / "estimators.md").write_text("\n".join(page), encoding="utf-8")
    print(f"written: {out / 'estimators.md'} and {len(ESTIMATORS) + 1} pictures in {pictures}")


if __name__ == "__main__":
    main()
