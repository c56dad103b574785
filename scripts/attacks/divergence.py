"""Kind 13: training that leaves the finite numbers. Stopped, said, recorded as failed, and in no mean."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attacks.ground import QUICK, Ground, replaced
from attacks.running import Try, run
from attacks.verdict import record_of, unhurt

TITLE = "a run whose loss is not finite"
LARGEST = 1e9  # no loss is as large
NET = ("model=mlp", "model.hidden=[16]", "binary.layer=1", *QUICK, "trainer.max_epochs=4", "hydra.run.dir=run")
# Optimizers of one's own, whose settings have no bounds; binlit's own are refused, or end well.
RMSPROP = ["optimizer=sgd", "optimizer.name=rmsprop", "optimizer._target_=torch.optim.RMSprop", "~optimizer.nesterov"]
NADAM = ["optimizer.name=nadam", "optimizer._target_=torch.optim.NAdam", "~optimizer.fused"]
REAL = "binary.layer=null"
WILD = {
    "sgd 1e10": ["optimizer=sgd", "optimizer.lr=1e10"],
    "adam 1e30": ["optimizer.lr=1e30"],
    "sgd 10": ["optimizer=sgd", "optimizer.lr=10", REAL],
    "decay of 1e10": ["optimizer=sgd", "optimizer.weight_decay=1e10", "optimizer.lr=0.1"],
    "rmsprop 1e10": [*RMSPROP, "optimizer.lr=1e10"],
    "rmsprop 1e30": [*RMSPROP, "optimizer.lr=1e30"],
    "rmsprop, decay of 1e10": [*RMSPROP, "optimizer.lr=0.1", "optimizer.weight_decay=1e10"],
    "nadam 1e10": [*NADAM, "optimizer.lr=1e10"],
    "nadam 1e30": [*NADAM, "optimizer.lr=1e30"],
    "real net, rmsprop 1e20": [REAL, *RMSPROP, "optimizer.lr=1e20"],
    "real net, nadam 1e25": [REAL, *NADAM, "optimizer.lr=1e25"],
    "reinforce, rmsprop 1e15": ["estimator=reinforce", *RMSPROP, "optimizer.lr=1e15"],
    "bf16, rmsprop 1e10": ["trainer.precision=bf16-mixed", *RMSPROP, "optimizer.lr=1e10"],
}


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for name, words in WILD.items():
        yield Try(name, lambda folder, words=words: _run(ground, folder, words))
    yield Try("one seed of a table", lambda folder: _sweep(folder))


def _run(ground: Ground, folder: Path, words: list[str]) -> Iterator[str]:
    """A refusal before training will do as well."""
    ended = run(folder, "train", *replaced(NET, *words))
    yield from unhurt(ended, ground.peak["train"])
    record = record_of(folder / "run")
    wild = not all(map(_sane, _numbers(record.get("metrics", {})))) or not all(map(_sane, _losses(record)))
    if ended.status == 2 and not record:
        return
    if record.get("status") == "ok" and (wild or ended.status != 0):
        yield f"recorded ok, status {ended.status}, with {record['metrics']}"
    elif record.get("status") == "failed":
        if ended.status == 0:
            yield "failed, and ends with status 0"
        if "diverged" not in record.get("error", "") or "diverged" not in ended.text:
            yield f"does not say that it diverged: {record.get('error')}"
        if len(record.get("curve", [])) > 3:
            yield "was not stopped"
    elif not record:
        yield f"no record, status {ended.status}"


def _sweep(folder: Path) -> Iterator[str]:
    """Two rates: the good one's row is as alone, and the wild one is a hole in the table."""
    words = [word for word in NET if not word.startswith("hydra")]
    ended = run(folder, "train", "-m", *words, "name=t", *RMSPROP, "optimizer.lr=0.01,1e20")
    yield from unhurt(ended)
    if ended.status == 0:
        yield "a run diverged, and the sweep ends with status 0"
    yield from unhurt(run(folder, "report", "outputs/t"))
    with (folder / "outputs" / "t" / "table.csv").open() as file:
        for row in csv.DictReader(file):
            if int(row["n"]) and not (row["loss"] and _sane(float(row["loss"]))):
                yield f"a row of {row['n']} runs has a loss of {row['loss'] or 'nothing'}"


def _losses(record: dict[str, Any]) -> Iterator[Any]:
    for entry in record.get("curve", []):
        yield from _numbers({name: value for name, value in entry.items() if "loss" in name})


def _numbers(metrics: dict[str, Any]) -> Iterator[Any]:
    yield from metrics.values()


def _sane(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) < LARGEST
