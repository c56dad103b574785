"""Kind 10: writers killed before they rename, leftovers of earlier versions, and sweeps that write one list at once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attacks import whole_data
from attacks.data_files import SETS, TRAIN
from attacks.ground import SMALL, SWEEP, Ground
from attacks.running import Ended, Running, Try, fork, run, start
from attacks.verdict import record_of, same_run, strays, unhurt, untouched

TITLE = "leftovers of killed writers, and writers at once"
ONE = ("train", *SMALL, "binary.layer=1", "hydra.run.dir=run")
# Of the version before this one, under the number of a process that is gone.
OLD = (".result.json.4194300", ".sweep.json.4194300", ".table.md.4194300", ".records.jsonl.4194300")


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    commands = {
        "result.json": ONE,
        "last.ckpt": ONE,
        "best.ckpt": ONE,
        "sweep.json": ("train", *SWEEP),
        **dict.fromkeys(("records.jsonl", "table.csv", "table.md", "table.png"), ("report", "outputs/s")),
        "net.binlit": ("export", f"checkpoint={ground.dense}/checkpoints/best.ckpt", "out=made/net.binlit"),
        "net.onnx": (
            "export", f"checkpoint={ground.dense}/checkpoints/best.ckpt", "out=made/net.binlit", "onnx=made/net.onnx",
        ),
        ".npy": ("train", *SETS["omniglot"], *TRAIN),
    }  # fmt: skip
    for name, words in commands.items():
        yield Try(f"killed before {name}", lambda folder, name=name, words=words: _killed(ground, folder, name, words))
    for part in (0.2, 0.5, 0.8):
        yield Try(f"killed in table.png, {part}", lambda folder, part=part: _picture(ground, folder, part))
    for name in OLD:
        yield Try(f"an old {name}", lambda folder, name=name: _old(ground, folder, name))
    for wait in (0.0, 0.05, 0.2, 0.5):
        yield Try(f"two sweeps {wait} s apart", lambda folder, wait=wait: _two(folder, wait))


def _killed(ground: Ground, folder: Path, name: str, words: tuple[str, ...]) -> Iterator[str]:
    """SIGKILL when all is written but the last rename; then the same command, and nothing is left."""
    (folder / "made").mkdir()
    if words[0] == "report":
        ground.copy(folder, "s")
    if name == ".npy":
        whole_data.linked(whole_data.omniglot(ground.folder / "data"), folder / "data")
    ended = _before_rename(folder, name, words).wait()
    if ended.status != -signal.SIGKILL:
        yield f"{name} is not written under another name and then renamed (status {ended.status})"
    ended = run(folder, *words, limit=180)
    yield from unhurt(ended)
    if ended.status != 0:
        yield f"started again it ends with {ended.status}: {ended.err.strip()[-120:]}"
    yield from untouched(folder)
    for place in ("run", "outputs", "made", "cache"):
        yield from strays(folder / place)
    if words is ONE:
        yield from same_run(record_of(folder / "run"), ground.record)


def _before_rename(folder: Path, name: str, words: tuple[str, ...]) -> Running:
    def act() -> Any:
        import importlib

        def watch(event: str, about: tuple[Any, ...]) -> None:
            if event == "os.rename" and os.fspath(about[1]).endswith(name):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        sys.argv = [words[0], *words[1:]]
        return importlib.import_module(f"binlit.{words[0]}").main()

    return fork(act, folder, f"binlit.{' '.join(words)}", 180)


def _picture(ground: Ground, folder: Path, part: float) -> Iterator[str]:
    """Killed while the picture is written: the old one, a new one or none is there, never half of one."""
    from PIL import Image

    ground.copy(folder, "s")
    picture = folder / "outputs" / "s" / "table.png"

    def act() -> Any:
        import binlit.report

        def watch(event: str, about: tuple[Any, ...]) -> None:
            if event == "open" and "table.png" in str(about[0]) and "w" in str(about[1]):
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.02 * part)

        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        sys.addaudithook(watch)
        sys.argv = ["report", "outputs/s"]
        return binlit.report.main()

    fork(act, folder, "binlit.report, to be killed").wait()
    if picture.exists():
        try:
            with Image.open(picture) as image:
                image.load()
        except (OSError, SyntaxError) as error:
            yield f"half of table.png is there ({error})"


def _old(ground: Ground, folder: Path, name: str) -> Iterator[str]:
    sweep = ground.copy(folder, "s") / "s"
    place = sweep / ground.drawn.name if "result" in name else sweep
    (place / name).write_bytes(bytes(1000))
    words = ("report", "outputs/s") if name[1] in "rt" and "result" not in name else ("train", *SWEEP)
    if "result" in name:
        words = ("train", *SMALL, "binary.layer=1", "name=s", "resume=true")
        (place / "result.json").unlink()
    ended: Ended = run(folder, *words)
    yield from unhurt(ended)
    yield from strays(sweep)


def _two(folder: Path, wait: float) -> Iterator[str]:
    """Two sweeps into one folder at once: its list holds the jobs of both."""
    begun = []
    for seeds in ("0,1", "2,3"):
        own = folder / f"of-{seeds[0]}"
        own.mkdir()
        words = ["-m", *SMALL, "trainer.max_epochs=1", "name=both", f"output_dir={folder}/outputs", f"seed={seeds}"]
        words.remove("trainer.max_epochs=2")
        begun.append(start(own, "train", *words, limit=180))
        time.sleep(wait)
    for running in begun:
        ended = running.wait()
        yield from unhurt(ended)
        if ended.status != 0:
            yield f"status {ended.status}"
    listed = json.loads((folder / "outputs" / "both" / "sweep.json").read_text())
    if sorted(job["seed"] for job in listed) != [0, 1, 2, 3]:
        yield f"sweep.json lists seeds {sorted(job['seed'] for job in listed)} of 0 to 3"
    yield from strays(folder / "outputs")
    shutil.rmtree(folder / "outputs")
