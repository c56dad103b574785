"""Kind 12: the number of threads, which changes last digits."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attacks.ground import Ground
from attacks.running import Try, run
from attacks.verdict import record_of, same_run, unhurt

TITLE = "threads change the result and not the fingerprint"
# Wide layers, so that sums are cut among threads.
NET = ("model=mlp", "model.hidden=[512]", "binary.layer=1", "logger=none", "trainer.limit_train_batches=6")
TRAIN = (*NET, "trainer.enable_progress_bar=false", "dataset.batch_size=256")


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    yield Try("auto in a run and in a sweep", lambda folder: _auto(folder))
    yield Try("auto obeys OMP_NUM_THREADS", lambda folder: _named(folder))
    for first, then in itertools.permutations((1, 2, "auto"), 2):
        yield Try(f"{first} resumed with {then}", lambda folder, first=first, then=then: _resumed(folder, first, then))
    for number in (1, 2):
        yield Try(f"record of {number}", lambda folder, number=number: _stated(folder, number))


def _train(folder: Path, where: str, threads: Any, *more: str, omp: str | None = None, epochs: int = 2):
    words = (*TRAIN, f"threads={threads}", f"trainer.max_epochs={epochs}")
    place = f"hydra.sweep.dir={where}" if "-m" in more else f"hydra.run.dir={where}"
    return run(folder, "train", *words, place, *more, OMP_NUM_THREADS=omp)


def _auto(folder: Path) -> Iterator[str]:
    for ended in (_train(folder, "run", "auto"), _train(folder, "sweep", "auto", "-m")):
        yield from unhurt(ended)
    swept = next(iter((folder / "sweep").glob("*/result.json")), folder / "none")
    yield from same_run(record_of(folder / "run"), record_of(swept.parent))


def _named(folder: Path) -> Iterator[str]:
    for where, threads, omp in (("named", "auto", "1"), ("given", 1, None)):
        yield from unhurt(_train(folder, where, threads, omp=omp))
    yield from same_run(record_of(folder / "named"), record_of(folder / "given"))
    if (used := record_of(folder / "named").get("hardware", {}).get("threads")) != 1:
        yield f"OMP_NUM_THREADS=1, and the record says {used}"


def _resumed(folder: Path, first: Any, then: Any) -> Iterator[str]:
    """Trained with one number, then made longer with another: the first one's bits, or a word about it."""
    _train(folder, "whole", first, epochs=3)
    _train(folder, "broken", first)
    (folder / "broken" / "result.json").unlink()
    ended = _train(folder, "broken", then, epochs=3)
    yield from unhurt(ended)
    if ended.status == 0 and "thread" not in ended.text:
        yield from same_run(record_of(folder / "broken"), record_of(folder / "whole"))
    elif ended.status not in (0, 2):
        yield f"status {ended.status}"


def _stated(folder: Path, number: int) -> Iterator[str]:
    yield from unhurt(_train(folder, "run", number))
    if (used := record_of(folder / "run").get("hardware", {}).get("threads")) != number:
        yield f"threads={number}, and the record says {used}"
