"""Cost of one training step of every estimator, as a ratio to `st`, side by side in one run.

    python scripts/bench_estimators.py [--layer last|first|all] [--rounds 5] [--threads 1]

Each round times a few steps of each estimator in turn (MNIST net, batch 64, random images), so that a change in the
machine's speed meets all of them; ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

import binlit.command.entry  # noqa: F401  (registers the resolvers)
from binlit.catalogue import packaged
from binlit.config import check
from binlit.estimator import Step
from binlit.paths import config_dir
from binlit.running.build import build_task


def stepper(name: str, layer: str) -> Callable[[], int]:
    """A function that trains for one step and returns the passes behind the last site."""
    overrides = ["model=mnist_cnn", f"estimator={name}", f"binary.layer={layer}"]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = check(compose("config", overrides=overrides))
    task = build_task(cfg).train()
    optimizer = task.configure_optimizers()
    x = torch.randn(64, 1, 28, 28).to(memory_format=torch.channels_last)
    y = torch.randint(10, (64,))

    def step() -> int:
        optimizer.zero_grad()
        with Step(task.net) as recording:
            out = task.net(recording.inputs(x))
            loss = recording.loss(F.cross_entropy(out, recording.targets(y), reduction="none"))
        loss.backward()
        optimizer.step()
        return len(out) // len(x)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layer", default="last")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    steps = {name: stepper(name, args.layer) for name in packaged("estimator")}
    passes = {name: step() for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            step()
            begun = time.perf_counter()
            for _ in range(args.steps):
                step()
            times[name].append((time.perf_counter() - begun) / args.steps)
    table = Table(title=f"One training step, binary layer {args.layer}, batch 64, {args.threads} thread(s)")
    for heading in ("estimator", "passes", "ms", "× st", "min – max"):
        table.add_column(heading, justify="left" if heading == "estimator" else "right")
    for name, seconds in times.items():
        ratios = [mine / st for mine, st in zip(seconds, times["st"], strict=True)]
        table.add_row(
            name,
            str(passes[name]),
            f"{1000 * statistics.median(seconds):.1f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f} – {max(ratios):.2f}",
        )
    Console(width=80).print(table)


if __name__ == "__main__":
    main()
