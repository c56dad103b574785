"""Kind 16: slips, and command lines made at random from the config's own keys, all run to their end."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attacks.ground import QUICK, Ground
from attacks.running import Try, run
from attacks.verdict import answers, record_of, refused, unhurt, untouched

TITLE = "slips and random command lines"
PROMISED = 1.5  # s of processor time for the answer to a slip
BASE = ("model=mlp", "model.hidden=[8]", "trainer.max_epochs=1", "binary.layer=1", "hydra.run.dir=run", *QUICK)
TRAINED, TESTED, PACKED, REPORTED, SHOWN = 170, 30, 20, 15, 15  # random command lines
FIXED = [
    "model=null", "dataset=null", "estimator=null", "optimizer=null", "task=null", "binary=null", "weight=null",
    "trainer=null", "anneal=null", "scheduler=1", "scheduler=null", "callbacks=null", "logger=null", "~callbacks",
    "~logger",
    "~model", "~binary.threshold", "~trainer.max_epochs", "model=", "binary.layer=", "binary.layer=1,2", "seed=1,2",
    "ckpt_path=nowhere", "ckpt_path=.", "hydra/launcher=ray", "hydra/sweeper=optuna", "hydra/launcher=nothing",
    "--config-name=nothing", "--config-dir=nowhere", "--nothing", "-x", "model", "=", "==", "+", "~", "a=b=c",
    "a.b.c=1",
    "'", '"', "[", "{", "}", "$", "${", "${seed}", "seed=${nothing}", "seed=${oc.env:NOTHING_OF_THIS_NAME}", "seed=[",
    "seed={", "seed='", "seed=$(x)", "model.hidden=[8", "model.hidden=8]", "binary.layr=1", "experiment=mnist",
    "+experimnt=mnist", "+experiment=mnst", "optimizer.lr=fast", "trainer.max_epochs=1.5", "trainer.max_epochs=-1",
    "binary.layer=7", "binary.layer=act1", "estimator=rlo", "dataset=mnis", "seed=-1", "seed=4294967296", "\0", "ü=1",
]  # fmt: skip
PATHS = ("my runs", "lr=0.1", "[x]", "größe", "a,b", "a(b)", "a:b", "a'b", "a#b", "{a}", "$a", "a\\b", "100%")
SLOW = {  # of commands that must not import torch for an answer
    "evaluate no such file": ["evaluate", "checkpoint=nowhere.ckpt"],
    "evaluate no checkpoint": ["evaluate"],
    "evaluate a wrong key": ["evaluate", "checkpoint=x", "binary.evl=mean"],
    "evaluate a wrong value": ["evaluate", "checkpoint=x", "binary.eval=men"],
    "export no such file": ["export", "checkpoint=nowhere.ckpt"],
    "export a wrong key": ["export", "chekpoint=x"],
    "export no folder": ["export", "checkpoint={best}", "out=nowhere/x"],
    "train a wrong key": ["train", "binary.layr=2"],
    "train no such checkpoint": ["train", "ckpt_path=nowhere"],
    "summary a wrong key": ["summary", "binary.layr=2"],
    "report nothing there": ["report", "nowhere"],
}
VALUES = [
    "0", "-1", "1", "2", "3", "1.5", "-0.5", "1e-9", "1000000000", "1e300", "-1e300", "nan", "inf", "null", "true",
    "false",
    "", "''", "text", "[]", "[1]", "[1,2]", "[text]", "{}", "{a:1}", "${seed}", "${nothing}", "ü", "a b", "a=b", "[",
    "}",
    "'", '"', "\\", ",", "1,2", "@", "*", "..", "/", "0x10", "1_000", "01", "٣", "x" * 5000, "all", "auto", "none",
    "None",
    "1e400", "9" * 400, "1-2", "+1", " 1", "1 ", "~", "-", "--", "true false", "%", "!", "#", "a,b", "range(3)",
    "glob(*)",
]  # fmt: skip
HARMLESS = [value for value in VALUES if value not in ("/", "..", "~")]  # where something is written


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for word in FIXED:
        yield Try(f"slip {word!r}", lambda folder, word=word: _slip(ground, folder, word))
    for name, words in SLOW.items():
        yield Try(name, lambda folder, words=words: _quick(ground, folder, words))
    for path in PATHS:
        yield Try(f"path {path}, train", lambda folder, path=path: _into(ground, folder, path))
        yield Try(f"path {path}, evaluate", lambda folder, path=path: _out_of(ground, folder, path))
    for name, more in REPORTS.items():
        yield Try(f"report {name}", lambda folder, more=more: _report(ground, folder, more))
    leaves = dict(_leaves(ground.record["config"]))
    for number in range(TRAINED):
        words = _random_words(leaves, chance)
        yield Try(f"train-{number} {_shown(words)}", lambda folder, words=words: _train(ground, folder, words))
    best = f"checkpoint={ground.drawn}/checkpoints/best.ckpt"
    for name, count, keys, first in (
        (
            "evaluate",
            TESTED,
            ("binary.eval", "binary.eval_draws", "weight.eval", "dataset.way", "seed", "threads"),
            [best],
        ),
        ("export", PACKED, ("out", "onnx", "binary.eval", "weight.eval", "checkpoint"), [best]),
        ("report", REPORTED, ("--out", "--title", "--into", "--against", "--passes", "--sites"), [str(ground.sweep)]),
        ("summary", SHOWN, tuple(leaves), []),
    ):
        for number in range(count):
            words = [f"{chance.choice(keys)}={chance.choice(HARMLESS)}"]
            words = [*(word for word in first if word.partition("=")[0] != words[0].partition("=")[0]), *words]
            yield Try(
                f"{name}-{number} {_shown(words[-1:])}", lambda folder, a=(name, words): _other(ground, folder, *a)
            )


def _shown(words: list[str]) -> str:
    return " ".join(words)[:60]


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        below = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value:
            yield from _leaves(value, below)
        else:
            yield below, value


def _random_words(leaves: dict[str, Any], chance: random.Random) -> list[str]:
    words = []
    for _ in range(chance.choice([1, 1, 2])):
        key, value = chance.choice(sorted(leaves)), chance.choice(VALUES)
        value = value if not key.endswith("filename") else chance.choice(HARMLESS)
        what = chance.random()
        if what < 0.15:  # a slip of the hand
            at = chance.randrange(len(key))
            key = key[:at] + chance.choice(["", key[at] * 2, "x"]) + key[at + 1 :]
        elif what < 0.25:
            key = chance.choice(["+", "++", "~", " ", "-"]) + key
        elif what < 0.3:
            key = key.rpartition(".")[0] or key
        words.append(f"{key}={value}")
    return words


def _slip(ground: Ground, folder: Path, word: str) -> Iterator[str]:
    if "\0" in word:
        word = word.replace("\0", "\x01")  # no system passes a NUL on
    yield from _train(ground, folder, [word], fixed=True)


def _train(ground: Ground, folder: Path, words: list[str], fixed: bool = False) -> Iterator[str]:
    """Refused in three lines, or trained to the end as asked."""
    asked = {word.lstrip("+~ -").partition("=")[0] for word in words}
    base = [word for word in BASE if not any(word.partition("=")[0] == key for key in asked)]
    ended = run(folder, "train", *base, *words, limit=45)
    yield from unhurt(ended, ground.peak["train"])
    yield from untouched(folder)
    if ended.status == 2:
        yield from refused(ended, whole=True)
        if re.search(r"Lexer|NoViableAlt|Exception|omegaconf|pydantic", ended.err):
            yield f"a library's own words: {ended.err.strip()[:120]}"
        if list(folder.rglob("result.json")):
            yield "refused, and a record was left"
    elif ended.status == 0:
        yield from _as_asked(folder, words)
    else:
        yield f"status {ended.status}: {ended.err.strip()[-120:]}"


def _as_asked(folder: Path, words: list[str]) -> Iterator[str]:
    """Whether the record's config has the plain numbers that were asked for."""
    records = [record_of(path.parent) for path in folder.rglob("result.json") if "superseded" not in path.parts]
    if any(record.get("status") != "ok" for record in records):
        yield "status 0, and a record that is not ok"
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        if re.fullmatch(r"-?(0|[1-9]\d{0,8})(\.\d+)?", value) and len(records) == 1:
            found = dict(_leaves(records[0].get("config", {}))).get(key)
            if isinstance(found, int | float) and float(value) != found:
                yield f"{key}={value} was asked for, and {found} was run"


def _quick(ground: Ground, folder: Path, words: list[str]) -> Iterator[str]:
    """In a process of its own, as from a shell."""
    name, *rest = (word.format(best=f"{ground.dense}/checkpoints/best.ckpt") for word in words)
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", f"binlit.{name}", *rest],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    after = os.times()
    seconds = after.children_user - before.children_user + after.children_system - before.children_system
    if done.returncode != 2 or not 1 <= len(done.stderr.splitlines()) <= 3:
        yield f"status {done.returncode}, {len(done.stderr.splitlines())} lines: {done.stderr.strip()[-120:]}"
    if seconds > PROMISED:
        yield f"{seconds:.1f} s of processor time for an answer"


def _into(ground: Ground, folder: Path, path: str) -> Iterator[str]:
    """A run into a folder of that name, or told to quote it."""
    base = [word for word in BASE if not word.startswith("hydra.run.dir")]
    ended = run(folder, "train", *base, f"output_dir={path}", "name=n")
    yield from unhurt(ended, ground.peak["train"])
    if ended.status == 0:
        if not list((folder / path / "n").glob("*/result.json")):
            yield f"the run is not in {path}"
    else:
        yield from refused(ended, "quote")
        if "Lexer" in ended.err or "Exception" in ended.err:
            yield f"a library's own words: {ended.err.strip()[:120]}"


def _out_of(ground: Ground, folder: Path, path: str) -> Iterator[str]:
    shutil.copytree(ground.drawn, folder / path / "run")
    ended = run(folder, "evaluate", f"checkpoint={path}/run/checkpoints/best.ckpt", "threads=1")
    yield from unhurt(ended, ground.peak["evaluate"])
    if ended.status == 0:
        if answers(ended.out) != [ground.answer]:
            yield f"another figure: {answers(ended.out)}"
    else:
        yield from refused(ended, "quote")
        if "Lexer" in ended.err or "Exception" in ended.err:
            yield f"a library's own words: {ended.err.strip()[:120]}"


REPORTS = {
    "into no page": ["--into", "nowhere.md"],
    "into a folder": ["--into", "."],
    "into a page without marks": ["--into", "page.md"],
    "into bytes": ["--into", "bytes.md"],
    "out a file": ["--out", "page.md"],
    "out below a file": ["--out", "page.md/x"],
    "out of nowhere": ["--out", "/proc/x"],
    "against nothing": ["--against", "x"],
    "against no row": ["--against", "anneal=linear"],
    "an unknown option": ["--nothing"],
    "a second source that is none": ["nowhere"],
}


def _report(ground: Ground, folder: Path, more: list[str]) -> Iterator[str]:
    ground.copy(folder, "s")
    (folder / "page.md").write_text("text\n")
    (folder / "bytes.md").write_bytes(b"\xff\xfe\0")
    ended = run(folder, "report", "outputs/s", *more)
    yield from unhurt(ended, ground.peak["report"])
    yield from refused(ended)
    if (folder / "page.md").read_text() != "text\n":
        yield "a page was written over"


def _other(ground: Ground, folder: Path, name: str, words: list[str]) -> Iterator[str]:
    """The ground is copied for commands that write beside what they read."""
    outputs = ground.copy(folder, "s", "dense")
    words = [word.replace(str(ground.folder / "outputs"), str(outputs)) for word in words]
    ended = run(folder, name, *words, limit=45)
    yield from unhurt(ended, ground.peak.get(name, ground.peak["train"]))
    yield from untouched(folder)
    if ended.status == 2:
        yield from refused(ended)
    elif ended.status not in (0, 2):
        yield f"status {ended.status}: {ended.err.strip()[-120:]}"
    if name == "evaluate" and ended.status == 0:
        for path in outputs.rglob("evaluations.jsonl"):
            for line in path.read_text().splitlines():
                json.loads(line)
