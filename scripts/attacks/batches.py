"""Kind 14: batches of one example before BatchNorm, and half precision where there is none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from attacks.ground import BNN, Ground
from attacks.running import Try, run
from attacks.verdict import record_of, refused, unhurt

TITLE = "batches of one before BatchNorm; 16-mixed on a CPU"
TRAINED = 1297  # of the digits
NET = (
    *BNN,
    "logger=none",
    "trainer.enable_progress_bar=false",
    "threads=1",
    "trainer.max_epochs=1",
    "hydra.run.dir=run",
)
MLP = ("model=mlp", "model.hidden=[8]", "model.norm=all")
CONV = ("model=bnn_convnet", "model.width=2", "model.hidden=8")


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for size in (1, 16, 48, 72, 144, 216, 432, 648, 1296):
        assert size == 1 or TRAINED % size == 1
        yield Try(f"mlp, {size}", lambda folder, size=size: _ends(ground, folder, *MLP, f"dataset.batch_size={size}"))
    for size in (432, 1296):
        yield Try(
            f"convnet, {size}", lambda folder, size=size: _ends(ground, folder, *CONV, f"dataset.batch_size={size}")
        )
    for validation in (1, 2):
        words = (*MLP, "dataset.batch_size=432", f"dataset.validation={validation}")
        yield Try(f"validation of {validation}", lambda folder, words=words: _ends(ground, folder, *words))
    yield Try("tests one by one", lambda folder: _ends(ground, folder, *MLP, "dataset.eval_batch_size=359"))
    yield Try("episodes of one", lambda folder: _few_shot(folder))
    yield Try("16-mixed", lambda folder: _half(ground, folder))


def _ends(ground: Ground, folder: Path, *words: str) -> Iterator[str]:
    """Trained to the end with every batch but one of one example, or refused before anything is trained."""
    ended = run(folder, "train", *NET, *words)
    yield from unhurt(ended, ground.peak["train"])
    record = record_of(folder / "run")
    if ended.status != 0:
        yield from refused(ended, "batch_size")
        if record.get("curve"):
            yield "refused after training had begun"
    elif record.get("status") != "ok":
        yield f"status 0, and the record says {record.get('status')}"


def _few_shot(folder: Path) -> Iterator[str]:
    words = ["+experiment=glyphs_fewshot", "dataset.train_way=2", "dataset.train_query=1", "dataset.batch_size=1"]
    words += ["dataset.episodes=3", "dataset.val_episodes=2", "dataset.test_episodes=2", "dataset.characters=20"]
    words += ["dataset.evaluation=6", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "logger=none"]
    ended = run(folder, "train", *words, "threads=1", "hydra.run.dir=run")
    yield from unhurt(ended)
    if ended.status not in (0, 2):
        yield f"status {ended.status}: {ended.err.strip()[-150:]}"


def _half(ground: Ground, folder: Path) -> Iterator[str]:
    """On a CPU it would be bf16: refused, or under bf16's fingerprint."""
    made = {}
    for precision in ("16-mixed", "bf16-mixed"):
        words = (*MLP, "trainer.accelerator=cpu", f"trainer.precision={precision}", "dataset.batch_size=64")
        ended = run(folder, "train", *NET[:-1], *words, f"hydra.run.dir={precision}")
        yield from unhurt(ended, ground.peak["train"])
        if ended.status == 2:
            yield from refused(ended, "16-mixed")
            return
        made[precision] = record_of(folder / precision).get("fingerprint")
    if made["16-mixed"] != made["bf16-mixed"]:
        yield "bf16 under another fingerprint"
