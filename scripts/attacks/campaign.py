"""Runs the tries of a kind side by side, each in a folder of its own, and says which failed."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
import traceback
import zlib
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

from attacks import MODULES
from attacks.ground import Ground, make
from attacks.running import SkippedTry, Try

KINDS: dict[int, ModuleType] = {
    number: importlib.import_module(f"attacks.{name}") for number, name in enumerate(MODULES, 1)
}
QUICK = 3  # tries of a kind
CLONE_NEWNS = 0x20000


@dataclass
class Found:
    """What the tries of a kind found."""

    tries: int = 0
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Campaign:
    """A ground, and two pools of processes: one with torch imported, and one without for kinds that do not need it."""

    def __init__(self, folder: Path, seed: int, jobs: int, quick: bool, only: str, keep: bool) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"
        self.folder, self.seed, self.quick, self.only, self.keep = folder, seed, quick, only, keep
        forking = get_context("fork")
        self._lean = forking.Pool(jobs, _begin)
        _import_everything()
        self._warm = forking.Pool(jobs, _begin)
        self._warm.apply(make, (folder / "ground",))

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._lean, self._warm):
            pool.terminate()
            pool.join()

    def attack(self, kind: int) -> Found:
        """All tries of a kind; failures are printed as they come."""
        begun, names = time.monotonic(), list(tries_of(kind, self.seed, self.folder))
        names = [name for name in names if self.only in name]
        if self.quick:
            names = names[:: max(1, len(names) // QUICK)][:QUICK]
        print(f"kind {kind}, {KINDS[kind].TITLE}: {len(names)} tries", flush=True)
        pool = self._lean if getattr(KINDS[kind], "LEAN", False) else self._warm
        found = Found()
        jobs = [(kind, self.seed, self.folder, name, self.keep) for name in names]
        for name, faults, lacking in pool.imap_unordered(_attempt, jobs):
            found.tries += not lacking
            if lacking:
                found.skipped.append(name)
                print(f"  left out {kind} {name}: {lacking}", flush=True)
            elif faults:
                found.failures.append(name)
                print(f"  FAILED {kind} {name}: {'; '.join(faults)}", flush=True)
        found.seconds = time.monotonic() - begun
        return found


@cache
def tries_of(kind: int, seed: int, folder: Path) -> dict[str, Try]:
    """{name: try}, the same in every process."""
    module: Any = KINDS[kind]
    made = list(module.tries(Ground(folder / "ground"), random.Random(f"{seed} {kind}")))
    assert len({each.name for each in made}) == len(made), "two tries of one name"
    return {each.name: each for each in made}


def _attempt(job: tuple[int, int, Path, str, bool]) -> tuple[str, list[str], str]:
    """A try's name, what went wrong in it, and what it would have needed."""
    kind, seed, folder, name, keep = job
    place = folder / f"{kind}" / re.sub(r"[^A-Za-z0-9.-]+", "_", f"{name[:60]}-{zlib.crc32(name.encode()):08x}")
    place.mkdir(parents=True)
    lacking = ""
    try:
        faults = list(tries_of(kind, seed, folder)[name].act(place))
    except SkippedTry as error:
        faults, lacking = [], str(error)
    except Exception:
        faults = [f"the attack itself failed: {traceback.format_exc(limit=-3)}"]
    if not (keep and faults):
        shutil.rmtree(place, ignore_errors=True)
    return name, faults, lacking


def _begin() -> None:
    """Of a process of a pool. What tries mount is seen by it alone, and goes with it, where the user may have that."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0:
        with contextlib.suppress(OSError):
            subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, check=False)


def _import_everything() -> None:
    from binlit.running.quick_import import load_libraries

    load_libraries()
    for name in (
        "binlit.train", "binlit.evaluate", "binlit.export", "binlit.report", "binlit.summary", "binlit.conversion",
        "binlit.running.checkpoint", "binlit.running.announce", "binlit.results.table", "sklearn.datasets", "scipy.io",
        "matplotlib.pyplot", "torchvision.datasets",
    ):  # fmt: skip
        importlib.import_module(name)
