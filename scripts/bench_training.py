"""Training speed of the MNIST net on one thread, side by side in one run: ratios that hold when the machine drifts.

    python scripts/bench_training.py [--layer 1] [--rounds 5] [--batches 200]

What is compared, each round in turn, every way over the same number of batches of 64:
- study      the study's way: one PIL image at a time through ToTensor and Normalize, a DataLoader that collates them,
             contiguous float32 (../PROTOCOLS of study A1, written out in `study_way`);
- bare       a plain PyTorch loop on uint8 tensors in memory: gather, normalise, forward, backward, step; channels_last;
- contiguous the same loop without channels_last;
- binlit     `binlit.train`: Lightning, metrics, monitor and all;
- bf16       `binlit.train` with trainer.precision=bf16-mixed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from binlit import Step
from binlit.catalogue import Config
from binlit.config import check
from binlit.dataset import DataError, Images, Mnist
from binlit.paths import config_dir
from binlit.running.build import build_net
from binlit.train import train

BATCH = 64


class StudyDataset(Dataset[tuple[torch.Tensor, int]]):
    """What torchvision's MNIST does for each image: a PIL image, then the transforms."""

    def __init__(self, data: Images) -> None:
        self.images, self.labels = data.images[:, 0], data.labels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        x: Any = self.transform(Image.fromarray(self.images[index].numpy()))
        return x, int(self.labels[index])


def study_way(cfg: Config, data: Images) -> float:
    """Seconds for all of `data`, loading included."""
    net, loader = build_net(cfg), DataLoader(StudyDataset(data), batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    begun = time.perf_counter()
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(F.log_softmax(net(x), dim=1), y)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - begun


def bare_way(cfg: Config, data: Images, memory_format: torch.memory_format = torch.channels_last) -> float:
    """Seconds for all of `data` in a loop that does nothing but train."""
    net: nn.Module = build_net(cfg).to(memory_format=memory_format)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    begun = time.perf_counter()
    for index in torch.randperm(len(data)).split(BATCH):
        images, y = data[index]
        x = images.float().sub_(255 * 0.1307).mul_(1 / (255 * 0.3081))
        with Step(net) as step:
            losses = F.cross_entropy(net(step.inputs(x)), step.targets(y), reduction="none")
            loss = step.loss(losses)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - begun


def binlit_way(cfg: Config) -> float:
    """Seconds of the second epoch's training, as the record counts them."""
    with tempfile.TemporaryDirectory() as folder:
        return train(cfg, Path(folder), quiet=True)["curve"][-1]["train_seconds"]


def composed(layer: str, batches: int, *more: str) -> Config:
    settings = [f"binary.layer={layer}", f"trainer.limit_train_batches={batches}", "trainer.max_epochs=2",
                "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "threads=1"]  # fmt: skip
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return check(compose("config", ["+experiment=mnist", *settings, *more]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", default="null", help="binary.layer (default: null, no binary layer)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cfg = composed(args.layer, args.batches)
    try:
        source = Mnist(cfg["dataset"]["data_dir"], download=False)
        source.setup()
    except DataError as error:
        raise SystemExit(f"the benchmark needs MNIST: {error}") from None
    part = Images(*source.parts["train"][torch.arange(args.batches * BATCH)])
    ways: dict[str, Callable[[], float]] = {
        "study": lambda: study_way(cfg, part),
        "bare": lambda: bare_way(cfg, part),
        "contiguous": lambda: bare_way(cfg, part, torch.contiguous_format),
        "binlit": lambda: binlit_way(cfg),
        "bf16": lambda: binlit_way(composed(args.layer, args.batches, "trainer.precision=bf16-mixed")),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(args.rounds + 1):  # the first round warms up
        for name, way in ways.items():
            taken = way()
            if number:
                seconds[name].append(taken)
    title = f"MNIST net, binary layer {args.layer}, batch {BATCH}, 1 thread, {args.rounds} rounds"
    title += f", torch {torch.__version__}"
    show_ratios(seconds, args.batches * BATCH, title, "samples/s", ("study", "bare"))


def show_ratios(seconds: dict[str, list[float]], count: int, title: str, unit: str, bases: tuple[str, ...]) -> None:
    """Median rate, and the median over rounds of the ratio to each base.

    Args:
        seconds: of each round, for each way.
        count: what is counted in one round, in `unit` without its "/s".
    """
    table = Table(title=title)
    for heading in ("way", unit, "min – max", *(f"× {base}" for base in bases)):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for name, taken in seconds.items():
        rates = [count / one for one in taken]
        ratios = [
            statistics.median(other / own for other, own in zip(seconds[base], taken, strict=True)) for base in bases
        ]
        form = ".0f" if min(rates) > 100 else ".1f"
        table.add_row(
            name,
            format(statistics.median(rates), form),
            f"{min(rates):{form}} – {max(rates):{form}}",
            *(f"{r:.2f}" for r in ratios),
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
