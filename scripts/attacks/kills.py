"""Kind 5: SIGKILL at random moments, run folder and temporary folder on different file systems.

Half of the kills fall into the writing of a checkpoint, half anywhere. No epoch that was saved is lost, the same
command goes on to the bits of an unbroken run, and neither folder holds anything that the unbroken run's does not.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from attacks.ground import QUICK, Ground
from attacks.running import Running, SkippedTry, Try, fork, run
from attacks.verdict import record_of, same_run, strays, unhurt, untouched

TITLE = "kills, with run folder and /tmp on different file systems"
KILLS, EPOCHS = 50, 4
# Wide enough for the writing of a checkpoint (10 MB) to take a while.
WIDE = (
    "model=mlp",
    "model.hidden=[1024]",
    "binary.layer=1",
    f"trainer.max_epochs={EPOCHS}",
    *QUICK,
    "hydra.run.dir=run",
)
MEMORY = Path("/dev/shm")


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for number in range(KILLS):
        nth, part, swapped = chance.randrange(2 * EPOCHS), chance.random(), number % 4 == 3
        when = "while it saves" if number % 2 else "anywhere"

        def act(folder: Path, when: str = when, nth: int = nth, part: float = part, swapped: bool = swapped):
            return _killed(ground, folder, when, nth, part, swapped)

        yield Try(f"kill-{number} {when}", act)


@cache
def _unbroken(folder: Path) -> tuple[dict[str, Any], list[str], float]:
    """Record, names and seconds of a run that nobody kills."""
    shutil.rmtree(folder, ignore_errors=True)
    begun = time.monotonic()
    ended = run(folder, "train", *WIDE, limit=300)
    assert ended.status == 0, ended.err
    return record_of(folder / "run"), _names(folder / "run"), time.monotonic() - begun


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def _killed(ground: Ground, folder: Path, when: str, nth: int, part: float, swapped: bool) -> Iterator[str]:
    record, names, seconds = _unbroken(ground.folder / f"unbroken-{os.getpid()}")
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == folder.stat().st_dev:
        raise SkippedTry(f"{MEMORY} is not there, or no other file system")
    other = Path(tempfile.mkdtemp(prefix=f"{ground.folder.parent.name}-", dir=MEMORY))
    try:
        # swapped: the run in memory and the temporary folder on disk
        work, scratch = (other, folder / "scratch") if swapped else (folder, other / "scratch")
        scratch.mkdir()
        saved = _start_and_kill(work, scratch, when, nth, part, seconds)
        kept = _epochs(work / "run" / "checkpoints" / "last.ckpt")
        if kept < saved:
            yield f"{saved} epochs were saved, and last.ckpt has {kept if kept >= 0 else 'no whole checkpoint'}"
        ended = run(work, "train", *WIDE, TMPDIR=str(scratch), limit=120)
        yield from unhurt(ended)
        if ended.status != 0:
            yield f"started again it ends with {ended.status}: {ended.err.strip()[-150:]}"
            return
        yield from same_run(record_of(work / "run"), record)
        yield from strays(work / "run")
        yield from untouched(work)
        if left := _names(scratch):
            yield f"left in the temporary folder: {', '.join(left[:3])}"
        if more := set(_names(work / "run")) - set(names):
            yield f"left in the run's folder: {', '.join(sorted(more)[:3])}"
    finally:
        shutil.rmtree(other, ignore_errors=True)


def _start_and_kill(work: Path, scratch: Path, when: str, nth: int, part: float, seconds: float) -> int:
    """Kills a run; gives the number of epochs whose last.ckpt had been written whole before."""
    told = work / "told"  # a line when the writing of a checkpoint begins, and one when it has ended
    running = _telling(work, scratch, told)
    begun = time.monotonic()
    if when == "anywhere":
        while running.poll() is None and time.monotonic() - begun < part * seconds:
            time.sleep(0.002)
    else:
        while running.poll() is None and _told(told).count("begin") <= nth and time.monotonic() - begun < 60:
            time.sleep(0.0005)
        time.sleep(part * 0.06)
    saved = _told(told).count("end last.ckpt")
    running.kill()
    running.wait()
    return saved


def _telling(work: Path, scratch: Path, told: Path) -> Running:
    def act() -> Any:
        import sys

        import pytorch_lightning as pl

        import binlit.train

        save = pl.Trainer.save_checkpoint

        def telling(self: Any, filepath: Any, *rest: Any, **more: Any) -> None:
            with told.open("a") as file:
                file.write("begin\n")
            save(self, filepath, *rest, **more)
            with told.open("a") as file:
                file.write(f"end {Path(filepath).name}\n")

        pl.Trainer.save_checkpoint = telling  # type: ignore[method-assign]
        sys.argv = ["binlit-train", *WIDE]
        return binlit.train.main()

    return fork(act, work, "binlit.train, to be killed", environment={"TMPDIR": str(scratch)})


def _told(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _epochs(path: Path) -> int:
    """Epochs that a checkpoint has behind it; -1 where it is damaged, 0 where there is none."""
    import torch

    try:
        return int(torch.load(path, weights_only=True)["epoch"]) + 1 if path.exists() else 0
    except Exception:
        return -1
