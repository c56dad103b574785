"""Training speed of few-shot learning on one thread, side by side in one run: 5-way 1-shot, 15 queries a class.

    python scripts/bench_fewshot.py [--rounds 5] [--episodes 60]

What is compared, each round in turn, every way over the same number of episodes:
- study     the study's way (../PROTOCOLS of study A3, written out in `study_way`): every image of an episode is read
            from a file of its own (28x28, prepared beforehand), scaled to its minimum and maximum, and stacked; net and
            images in float64; one episode a step;
- one       binlit, one episode a step, float32;
- float32   binlit, four episodes a step, float32;
- bf16      binlit, four episodes a step, bfloat16: the experiment's own recipe.
Then what drawing the episodes costs, as a share of a step, and how long a start takes, with and without the cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from bench_training import binlit_way, show_ratios
from hydra import compose, initialize_config_dir
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from binlit.catalogue import Config
from binlit.config import check
from binlit.dataset import DataError
from binlit.dataset.few_shot import Episodes
from binlit.model import Conv4
from binlit.paths import config_dir
from binlit.running.build import build_data

STAMP = """import time
from pytorch_lightning import Callback
class Stamp(Callback):
    def on_train_batch_end(self, *_):
        print("\\nstep done at", time.time())
"""  # a module for the measured process


class Measured(NamedTuple):
    """Of a process: wall seconds in all, peak resident MB, wall seconds to the end of its first step (nan: none)."""

    seconds: float
    peak: float
    step: float


def write_files(data: Episodes, folder: Path, classes: int) -> list[list[Path]]:
    """Drawings of some training classes as PNG files of 28x28, as the study prepares them once."""
    files = []
    for number, drawings in enumerate(data.parts["train"].images[:classes]):
        row = []
        for drawing, image in enumerate(drawings):
            path = folder / f"{number:04d}_{drawing:02d}.png"
            Image.fromarray(image.numpy()).save(path)
            row.append(path)
        files.append(row)
    return files


def read_image(path: Path) -> Tensor:
    """(1, 28, 28) float64 in [0, 1]."""
    with Image.open(path) as image:
        pixels = np.asarray(image, dtype=np.float64)
    return torch.from_numpy((pixels - pixels.min()) / (pixels.max() - pixels.min()))[None]


def study_way(files: list[list[Path]], episodes: int) -> float:
    """Seconds for so many episodes, reading included."""
    net = Conv4().double()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    begun = time.perf_counter()
    for _ in range(episodes):
        support, queries = [], []
        for number in rng.choice(len(files), 5, replace=False):
            drawings = rng.choice(20, 16, replace=False)
            images = [read_image(files[number][drawing]) for drawing in drawings]
            support.append(images[0])
            queries += images[1:]
        optimizer.zero_grad()
        z = net(torch.stack(support + queries))
        distances = (z[5:, None] - z[None, :5]).square().sum(2)
        attention = (-distances).softmax(1)
        loss = nn.functional.nll_loss(attention.clamp(1e-8, 1 - 1e-8).log(), torch.arange(5).repeat_interleave(15))
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - begun


def composed(episodes: int, *more: str) -> Config:
    settings = [
        "binary.layer=null", "trainer.max_epochs=2", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1",
        "threads=1", "trainer.gradient_clip_val=1.0", f"dataset.episodes={episodes}", "dataset.train_way=5",
        "dataset.train_shot=1", "dataset.train_query=15", "dataset.batch_size=4", "dataset.val_episodes=1",
        "dataset.test_episodes=2",
    ]  # fmt: skip
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return check(compose("config", ["+experiment=omniglot_fewshot", *settings, *more]))


def drawing_share(data: Episodes, seconds_an_episode: float) -> str:
    """How much of a step goes into drawing its episodes and gathering their images."""
    begun, count = time.perf_counter(), 0
    for _ in data.train_dataloader():
        count += data.batch_size
    each = (time.perf_counter() - begun) / count
    return f"drawing an episode: {1e3 * each:.2f} ms, {100 * each / seconds_an_episode:.1f} % of its step in bf16"


def one_step(cache: Path, *more: str) -> Measured:
    """A run of one training step, with one batch of validation and of each test."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "stamp.py").write_text(STAMP, encoding="utf-8")
        words = ["+experiment=omniglot_fewshot", "binary.layer=3", "threads=1", "trainer.max_epochs=1", *more]
        argv = ["binlit.train", *words, "dataset.episodes=1", "+callbacks.stamp._target_=stamp.Stamp"]
        code = f"import sys, runpy; sys.path.append({folder!r}); sys.argv = {[*argv, f'output_dir={folder}']}; "
        return measured(code + "runpy.run_module('binlit.train', None, '__main__')", cache)


def libraries(cache: Path) -> Measured:
    """Importing what a run imports, and one convolution."""
    return measured(
        "import binlit.running.quick_import; binlit.running.quick_import.load_libraries();"
        "import torch, torchvision, scipy.stats, pandas, torch.utils.tensorboard, binlit.running.announce;"
        "torch.nn.Conv2d(1, 4, 3)(torch.randn(2, 1, 8, 8)).sum().backward()",
        cache,
    )


def measured(code: str, cache: Path) -> Measured:
    """A process with one thread; what it says is shown where it fails."""
    peak = "open('/proc/self/status').read().split('VmHWM:')[1]"
    last = f"import atexit; atexit.register(lambda: print('\\npeak', {peak}))"
    environment = os.environ | {"BINLIT_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    begun = time.time()
    done = subprocess.run([sys.executable, "-c", f"{last}; {code}"], capture_output=True, text=True, env=environment)
    seconds = time.time() - begun
    if done.returncode:
        raise SystemExit(done.stderr)
    stamp = done.stdout.rpartition("\nstep done at ")[2].split()[0] if "\nstep done at " in done.stdout else "nan"
    held = int(done.stdout.rpartition("\npeak")[2].split()[0]) / 1e3  # Linux gives kB
    return Measured(seconds, held, float(stamp) - begun)


def compare_speed(data: Episodes, rounds: int, episodes: int, console: Console) -> None:
    """The ways side by side, and the share of a step that drawing its episodes takes."""
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(data, Path(folder), 200)
        ways: dict[str, Callable[[], float]] = {
            "study": lambda: study_way(files, episodes),
            "one": lambda: binlit_way(composed(episodes, "dataset.batch_size=1", "trainer.precision=32-true")),
            "float32": lambda: binlit_way(composed(episodes, "trainer.precision=32-true")),
            "bf16": lambda: binlit_way(composed(episodes)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):  # the first round warms up
            for name, way in ways.items():
                taken = way()
                if number:
                    seconds[name].append(taken)
    title = f"conv4, 5-way 1-shot, 15 queries, 1 thread, {rounds} rounds, torch {torch.__version__}"
    show_ratios(seconds, episodes, title, "episodes/s", ("study",))
    console.print(drawing_share(data, statistics.median(seconds["bf16"]) / episodes))


def show_start(console: Console) -> None:
    """How long a start takes, and how much memory a run, with an empty cache and a filled one."""
    little = ("dataset.val_episodes=1", "dataset.test_episodes=1", "dataset.also=[]")
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        first, rounds = one_step(cache, *little), [(one_step(cache, *little), libraries(cache)) for _ in range(5)]
        later, base = (Measured(*map(statistics.median, zip(*runs, strict=True))) for runs in zip(*rounds, strict=True))
        whole = one_step(cache, "trainer.limit_val_batches=1", "trainer.limit_test_batches=1")
    console.print(
        f"from the command to the end of the first training step: {first.step:.1f} s the first time (decoding "
        f"included), {later.step:.1f} s later; until a test episode is done too and the process gone: "
        f"{first.seconds:.1f} s, later {later.seconds:.1f} s; importing the libraries alone, with its end: "
        f"{base.seconds:.1f} s (later starts: medians of five)"
    )
    console.print(
        f"peak resident memory beyond the libraries' {base.peak:.0f} MB: {first.peak - base.peak:.0f} MB "
        f"while decoding, {whole.peak - base.peak:.0f} MB later with 250 episodes of each kind tested at once"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="0: start and memory alone (default: 5)")
    parser.add_argument("--episodes", type=int, default=60, help="trained on in each round, each way (default: 60)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = build_data(composed(400))
    assert isinstance(data, Episodes)
    try:
        data.setup()
    except DataError as error:
        raise SystemExit(f"the benchmark needs Omniglot: {error}") from None
    console = Console(width=110, highlight=False)
    if args.rounds:
        compare_speed(data, args.rounds, args.episodes, console)
    show_start(console)


if __name__ == "__main__":
    main()
