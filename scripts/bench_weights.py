"""Cost of one training step with binary weights, side by side in one run.

    python scripts/bench_weights.py [--width 4096] [--batch 100] [--rounds 5] [--threads 1] [--precision bf16-mixed]

Ways: `real` (the same net and activations, real weights), `formula` (binary weights by the estimator's own formula),
`binlit` (as trained: the sign in as few passes over memory as can be), `plain adam` (the same with Adam in several
passes). Each round times a few steps of each in turn; ratios are medians over rounds. THP_MEM_ALLOC_ENABLE=0 in the
environment shows what huge pages are worth.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as binlit.train does

import torch
from hydra import compose, initialize_config_dir

import binlit.command.entry  # noqa: F401  (registers the resolvers)
from binlit.binary import binary_weights
from binlit.binary.weight import BinaryWeight
from binlit.config import check
from binlit.estimator.base import Call
from binlit.paths import config_dir
from binlit.running.build import build_task

WAYS: dict[str, list[str]] = {
    "real": ["binary.weights=null"],
    "formula": [],
    "binlit": [],
    "plain adam": ["optimizer.fused=null"],
}


def stepper(way: str, width: int, batch: int, precision: str) -> Callable[[], None]:
    """A function that trains for one step."""
    overrides = ["+experiment=bnn_mnist_mlp", f"model.hidden=[{width},{width},{width}]", *WAYS[way]]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        task = build_task(check(compose("config", overrides=overrides)))
    optimizer = task.configure_optimizers()["optimizer"]
    net: Any = task.net.train()
    if way == "formula":
        for unit in binary_weights(net).values():
            unit.bits = by_formula.__get__(unit)  # type: ignore[method-assign]
    x, y = torch.randn(batch, 1, 28, 28), torch.randint(10, (batch,))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = task.losses(net(x), y).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def by_formula(unit: BinaryWeight, latent: torch.Tensor) -> torch.Tensor:
    return unit.estimator(Call(latent, latent, unit.surrogate, -1.0, False, None, unit.site))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="bf16-mixed", choices=["bf16-mixed", "32-true"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    steps = {way: stepper(way, args.width, args.batch, args.precision) for way in WAYS}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for step in steps.values():
        step()
    for _ in range(args.rounds):
        for way, step in steps.items():
            begun = time.perf_counter()
            for _ in range(3):
                step()
            times[way].append((time.perf_counter() - begun) / 3)
    print(
        f"784-3x{args.width}-10, batch {args.batch}, {args.precision}, {args.threads} thread(s), {args.rounds} rounds"
    )
    for way, seconds in times.items():
        middle = statistics.median(seconds)
        ratio = statistics.median(a / b for a, b in zip(seconds, times["real"], strict=True))
        span = f"{1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f}"
        print(f"{way:<11} {1e3 * middle:7.1f} ms a step, {ratio:.2f} x real ({span})")


if __name__ == "__main__":
    main()
