"""Packed inference against torch, side by side in one run, on one thread.

    python scripts/bench_packed.py [--rounds 7] [--json FILE]
    python scripts/bench_packed.py --from docs/results/packed/bench.json --page docs/packed.md    # no timing

Each round times both sides of a row in turn, so that a change in the machine's speed meets both; a ratio is that of the
medians over rounds. Nets have random weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

import binlit
from binlit.conversion import convert
from binlit.model import Mlp
from binlit.results.record import hardware
from binlit.results.text import around_table, markdown_page, markdown_table
from binlit.runtime import PackedModel, native
from binlit.runtime.bits import pack
from binlit.runtime.geometry import patches
from binlit.runtime.native import NativeKernel

Run = Callable[[], Any]
SIDE = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures into this file")
    parser.add_argument("--from", dest="source", type=Path, help="take the figures from this file, time nothing")
    parser.add_argument("--page", type=Path, help="put the table into this page, between its marks")
    args = parser.parse_args()
    content = json.loads(args.source.read_text(encoding="utf-8")) if args.source else measured(args.rounds)
    show(content)
    if args.json:
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if args.page:
        try:
            before, after = around_table(args.page, "bench_packed")
        except ValueError as error:
            raise SystemExit(str(error)) from error
        args.page.write_text(f"{before}\n\n{markdown(content)}\n{after}", encoding="utf-8")


def measured(rounds: int) -> dict[str, Any]:
    """The figures, and what they were made on."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kernel, draw = NativeKernel(), np.random.default_rng(0)
    with torch.inference_mode():
        groups = {**products(kernel, draw), **nets(draw), **convolution(kernel, draw), **first_layer(kernel, draw)}
        times = {name: timed(runs, rounds) for name, runs in (groups | masks()).items()}
    rows = [
        {"what": name, "side": side, "ms": ms, "ratio": ms / next(iter(sides.values()))}
        for name, sides in times.items()
        for side, ms in sides.items()
    ]
    return {
        "instructions": native.instruction_set(), "processor": hardware("cpu")["processor"], "torch": torch.__version__,
        "threads": 1, "rounds": rounds, "rows": rows,
    }  # fmt: skip


HEADINGS = ("what", "by", "ms", "× the first")


def cells(content: dict[str, Any]) -> list[list[str]]:
    """A line for each side; what is measured is named once."""
    lines, before = [], ""
    for row in content["rows"]:
        what = "" if row["what"] == before else row["what"]
        before = row["what"]
        lines.append([what, row["side"], f"{row['ms']:.3f}", f"{row['ratio']:.2f}"])
    return lines


def said(content: dict[str, Any]) -> str:
    """What the figures were made on."""
    return (
        f"Median of {content['rounds']} rounds, one thread, {content['instructions']} ({content['processor']}), "
        f"torch {content['torch']}"
    )


def show(content: dict[str, Any]) -> None:
    """Prints the figures."""
    table = Table(title=said(content), title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("what", "by") else "right")
    for line in cells(content):
        table.add_row(*line)
    Console(width=110, highlight=False).print(table)


def markdown(content: dict[str, Any]) -> str:
    """The same as Markdown."""
    return markdown_page(markdown_table(HEADINGS, cells(content), HEADINGS[2:]), f"{said(content)}.")


def products(kernel: NativeKernel, draw: np.random.Generator) -> dict[str, dict[str, Run]]:
    """1024 x 1024 x 1024."""
    a, b = (draw.integers(0, 1 << 63, (SIDE, SIDE // 64), np.uint64) for _ in range(2))
    prepared = kernel.bits(b)
    x, y = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    int_mm: Any = torch._int_mm  # type: ignore[reportPrivateImportUsage]
    i, j = (torch.randint(0, 2, (SIDE, SIDE), dtype=torch.int8) * 2 - 1 for _ in range(2))
    return {
        f"product {SIDE}^3": {
            "bits, packed": lambda: kernel.xnor(a, prepared, SIDE),
            "torch mm float32": lambda: x @ y,
            "torch _int_mm int8": lambda: int_mm(i, j),
        }
    }


def nets(draw: np.random.Generator) -> dict[str, dict[str, Run]]:
    """Study D's 784-4096-4096-4096-10 as a whole, from uint8 images to scores."""
    net = Mlp(hidden=(4096,) * 3, norm="all", activation="hard_tanh")
    binlit.binarize(net, "all", "st_clipped", mode="deterministic", levels="pm1")
    binlit.binarize_weights(net)
    packed = PackedModel(convert(net, (1, 28, 28), 0.1307, 0.3081), "native")
    plain = Mlp(hidden=(4096,) * 3, norm="all", activation="hard_tanh").eval()  # no bits to be made in each pass
    groups = {}
    for batch in (64, 1):
        images = draw.integers(0, 256, (batch, 1, 28, 28), np.uint8)
        x = (torch.from_numpy(images).float() / 255 - 0.1307) / 0.3081
        groups[f"MLP 3x4096, batch {batch}"] = {
            "bits, packed": lambda images=images: packed.scores(images),
            "torch float32": lambda x=x: plain(x),
        }
    return groups


def convolution(kernel: NativeKernel, draw: np.random.Generator) -> dict[str, dict[str, Run]]:
    """3x3, 256 channels to 256, on 16x16, with the gathering of patches and the thresholds."""
    channels, side, batch = 256, 16, 8
    bits = pack(draw.integers(0, 2, (batch, side, side, channels)))
    prepared = kernel.bits(pack(draw.integers(0, 2, (channels, 9, channels))).reshape(channels, -1))
    zeros, flip = np.zeros((1, channels), np.int32), np.zeros(channels // 64, np.uint64)
    x, weight = torch.randn(batch, channels, side, side), torch.randn(channels, channels, 3, 3)
    x = x.to(memory_format=torch.channels_last)
    weight = weight.to(memory_format=torch.channels_last)

    def packed() -> Any:
        rows = patches(bits, (3, 3), (1, 1), (1, 1))
        return kernel.fire(kernel.xnor(rows, prepared, 9 * channels), zeros, np.zeros(1, np.int32), flip)

    return {
        f"convolution 3x3, {channels} channels, {side}x{side}, batch {batch}": {
            "bits, packed": packed,
            "torch float32": lambda: F.conv2d(x, weight, padding=1),
        }
    }


def first_layer(kernel: NativeKernel, draw: np.random.Generator) -> dict[str, dict[str, Run]]:
    """784 pixels to 4096, batch 64: two ways to the same integers."""
    pixels = draw.integers(0, 256, (64, 784), np.uint8)
    signs = draw.choice(np.array([-1, 1], np.int8), (4096, 784))
    by_value, by_plane = kernel.signs(signs), kernel.bits(pack(signs > 0))
    layer, x = nn.Linear(784, 4096, bias=False), torch.randn(64, 784)
    return {
        "first layer 784 to 4096, batch 64": {
            "uint8 x int8": lambda: kernel.int8(pixels, by_value),
            "8 bit planes": lambda: kernel.planes(pixels, by_plane),
            "torch float32": lambda: layer(x),
        }
    }


def masks() -> dict[str, dict[str, Run]]:
    """Real weights and bits 0 and 1: the sum of the rows of weights whose bit is on, against a plain product."""
    weight = torch.randn(4096, 4096)
    rows = weight.t().contiguous()
    groups: dict[str, dict[str, Run]] = {}
    for batch in (64, 1):
        bits = torch.rand(batch, 4096) < 0.5
        x = bits.float()

        def masked(bits: torch.Tensor = bits) -> Any:
            on = bits.nonzero()
            starts = torch.searchsorted(on[:, 0].contiguous(), torch.arange(len(bits)))
            return F.embedding_bag(on[:, 1].contiguous(), rows, starts, mode="sum")

        groups[f"real weights 4096 x 4096, bits 0/1, batch {batch}"] = {
            "sum of rows by mask": masked,
            "torch float32": lambda x=x: F.linear(x, weight),
        }
    return groups


def timed(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Milliseconds of each, the median over rounds; a run is repeated to last a few milliseconds."""
    repeats = {}
    for name, run in runs.items():
        run()
        begun = time.perf_counter()
        run()
        repeats[name] = max(1, round(0.01 / (time.perf_counter() - begun)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begun = time.perf_counter()
            for _ in range(repeats[name]):
                run()
            times[name].append(1000 * (time.perf_counter() - begun) / repeats[name])
    return {name: statistics.median(each) for name, each in times.items()}


if __name__ == "__main__":
    main()
