"""Kind 15: settings that mean another run than was asked for, write elsewhere, cannot be resumed, or never end."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from attacks.ground import QUICK, Ground
from attacks.running import Try, run
from attacks.verdict import MARK, record_of, refused, unhurt, untouched

TITLE = "what the check lets through"
BASE = ("model=mlp", "model.hidden=[16]", "trainer.max_epochs=1", "binary.layer=1", *QUICK)
ROOTED = f"binlit-attack-{os.getpid()}"  # a run's name that nothing else has: output_dir= may put it into /
SLOW = 20.0  # s until something that never ends has said so
ESTIMATE = re.compile(r"\b(hours?|days?|years?|GB|GiB|TB|TiB)\b")
# Refused, whatever else is right.
REFUSED = {
    "another run than was asked for": [
        "recipe=mnist_rlo", "estimator.name=foo", "estimator.name=rloo", "model.name=conv4", "dataset.name=mnist",
        "optimizer.name=sgd", "task.name=few_shot", "anneal.name=linear", "scheduler.name=cosine", "trainer.name=fast",
        "weight.name=xnor", "+row.layer=9", "+row.mode=deterministic", "+row.estimator=rloo", "+row.anneal=step",
        "+row.weights=all", "+row.weight=bnn", "+experiment=[mnist,omniglot]", "+experiment=mnist +experiment=omniglot",
        "seed=1 seed=2", "optimizer.lr=0.1 optimizer.lr=0.2", "optimizer=sgd optimizer=adam", "trainer.devices=true",
        "trainer.devices=2", "trainer.max_epochs=true", "binary.eval_draws=true", "seed=true", "seed=1.0",
        "model._target_=binlit.model.Conv4", "dataset._target_=binlit.dataset.Mnist", "estimator._target_=os.system",
        "optimizer._target_=torch.optim.SGD", "task._target_=binlit.task.FewShot", "trainer._target_=os.system",
        f"scheduler._target_=os.system +scheduler.command='touch {MARK}'", "anneal._target_=binlit.anneal.Linear",
    ],
    "writes elsewhere": [
        "output_dir=", "output_dir=''", "output_dir='  '", "name=..", "name=.", "name=../x", "name=''", "name=/x",
        "callbacks.best.filename=../../x", "callbacks.last.filename=../../x", "callbacks.best.filename=/x",
        "callbacks.best.filename=''", "+callbacks.best.dirpath=../elsewhere", "+callbacks.last.dirpath=elsewhere",
        "hydra.run.dir=", "hydra.run.dir=''", "callbacks.best.filename=last", "callbacks.last.filename=best",
    ],
    "cannot be resumed": [
        "callbacks.last=null", "~callbacks.last", "callbacks.last.filename=final",
        "+callbacks.last.save_weights_only=true",
        "+callbacks.last.save_top_k=0",

    ],
    "learns nothing, unsaid": [
        "optimizer.lr=1e-300", "optimizer.lr=1e300", "optimizer.lr=inf", "optimizer.lr=nan", "optimizer.eps=1e300",
        "optimizer.eps=inf", "optimizer.weight_decay=1e30", "optimizer.weight_decay=inf", "optimizer.weight_decay=nan",
        "trainer.gradient_clip_val=1e-300", "trainer.gradient_clip_val=nan", "binary.threshold=1e30",
        "binary.threshold=nan", "binary.threshold=-inf", "anneal=constant anneal.value=1e300",
        "anneal=constant anneal.value=1e-300", "anneal=exponential anneal.rate=1e300",
        "scheduler=step scheduler.gamma=1e300",
        "scheduler=exponential scheduler.gamma=nan", "estimator=concrete estimator.temperature=1e300",
    ],
    "fails late": [
        "model.hidden=[1000000000]", "dataset.image_size=1000000", "trainer.limit_train_batches=1e-9",
        "trainer.limit_val_batches=1e-9", "trainer.limit_test_batches=1e-9", "optimizer.betas=[0,0]",
        "optimizer=sgd optimizer.nesterov=true optimizer.momentum=0", "callbacks.best.monitor=val/los",
        "callbacks.best.mode=least", "threads=1000000", "threads=100000", "threads=0",
        "model=conv4 model.width=100000000", "dataset=glyphs dataset.classes=1000000000", "ckpt_path=nowhere",
        "ckpt_path=''", "dataset.validation=1000 dataset.batch_size=0",
    ],
}  # fmt: skip
# Refused, or their time or memory told before they start, or run to a good end.
ENDLESS = [
    "trainer.max_epochs=1000000000", "binary.eval=mean binary.eval_draws=1000000000",
    "estimator=rloo estimator.draws=1000000",
    "dataset=glyphs dataset.drawings_each=1000000000", "dataset=glyphs dataset.drawings_each=1000000",
    "+experiment=glyphs_fewshot dataset.test_episodes=1000000000",
    "+experiment=glyphs_fewshot dataset.val_episodes=1000000000",
    "+experiment=glyphs_fewshot dataset.characters=100000000",
    "+experiment=glyphs_fewshot dataset.episodes=1000000000000",
    "callbacks.best.monitor=null",
    "callbacks=probe callbacks.probe.reference=1000000000", "callbacks=probe callbacks.probe.draws=1000000000",
]  # fmt: skip


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for group, cases in REFUSED.items():
        for words in cases:
            yield Try(f"{group}: {words}", lambda folder, words=words: _refused(ground, folder, _words(words)))
    for words in ENDLESS:
        yield Try(f"ends: {words}", lambda folder, words=words: _endless(ground, folder, _words(words)))


def _words(text: str) -> list[str]:
    return re.findall(r"(?:'[^']*'|\S)+", text)


def _command(words: list[str]) -> list[str]:
    """With small defaults for what is not asked for."""
    asked = {word.lstrip("+~").partition("=")[0] for word in words}
    groups = {"+experiment", "model"} & {word.partition("=")[0] for word in words}
    base = [word for word in BASE if word.partition("=")[0] not in asked]
    if groups:
        base = [word for word in base if not word.startswith(("model", "binary"))]
    return [*base, *words]


def _refused(ground: Ground, folder: Path, words: list[str]) -> Iterator[str]:
    """In three lines, before anything is written."""
    own = [] if any(word.startswith(("name=", "dataset", "hydra")) for word in words) else [f"name={ROOTED}"]
    ended = run(folder, "train", *_command(words), *own, limit=SLOW)
    yield from unhurt(ended, ground.peak["train"])
    yield from refused(ended, whole=True)
    yield from untouched(folder)
    made = sorted(path.name for path in folder.iterdir() if path.name not in ("logs", "tmp", "home", "cache"))
    if ended.status == 2 and made:
        yield f"refused, and {', '.join(made)} was written"
    yield from _elsewhere(folder)


def _elsewhere(folder: Path) -> Iterator[str]:
    """Beside the try's folder, or at the root of the file system, which is then cleared of it."""
    found = [folder.parent / "x", folder.parent / "elsewhere", Path("/") / ROOTED, Path("/x.ckpt")]
    for path in found:
        if path.exists():
            yield f"{path.name} was written elsewhere"
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)


def _endless(ground: Ground, folder: Path, words: list[str]) -> Iterator[str]:
    ended = run(folder, "train", *_command(words), "hydra.run.dir=run", limit=SLOW)
    if ended.status is None and ESTIMATE.search(ended.text):
        return
    yield from unhurt(ended, ground.peak["train"])
    if ended.status == 0 and record_of(folder / "run").get("status") == "ok":
        return
    yield from refused(ended, whole=True)
