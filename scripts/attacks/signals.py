"""Kind 17: SIGTERM and SIGINT in a run, a sweep and a joblib sweep. Status, a line, no orphans, the same bits again."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from attacks.ground import QUICK, Ground
from attacks.running import SkippedTry, Try, run, start
from attacks.verdict import record_of, same_run, strays

TITLE = "SIGTERM and SIGINT in a run, a basic and a joblib sweep"
LONG = ("model=mlp", "model.hidden=[16]", "trainer.max_epochs=12", "binary.layer=1", *QUICK)
RUN = (*LONG, "hydra.run.dir=outputs/t/run")
SWEEP = ("-m", *LONG, "name=t", "seed=0,1")
STATUS = {signal.SIGTERM: (143, -15), signal.SIGINT: (130, -2)}
TOKEN = "BINLIT_ATTACK"  # in the environment of all that a try starts


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for number in (signal.SIGTERM, signal.SIGINT):
        for words, name in ((RUN, "run"), (SWEEP, "sweep")):
            for turn in range(6):
                delay, early = chance.uniform(0, 0.8), turn % 3 == 2

                def act(
                    folder: Path, number: int = number, words: Any = words, delay: float = delay, early: bool = early
                ):
                    return _in_fork(ground, folder, words, number, delay, early)

                yield Try(f"{number.name} in a {name}, {turn}{' early' if early else ''}", act)
        for group in (False, True):
            delay = chance.uniform(0, 1)

            def parallel(folder: Path, number: int = number, group: bool = group, delay: float = delay):
                return _in_joblib(ground, folder, number, group, delay)

            yield Try(f"{number.name} in a joblib sweep{', to its group' if group else ''}", parallel)


@cache
def _unbroken(folder: Path) -> dict[str, dict[str, Any]]:
    """{run's folder: record} of both commands, undisturbed."""
    shutil.rmtree(folder, ignore_errors=True)
    for words in (RUN, SWEEP):
        ended = run(folder, "train", *words, limit=300)
        assert ended.status == 0, ended.err
    return _records(folder)


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: record_of(path.parent) for path in folder.glob("outputs/t/*/result.json")}


def _in_fork(ground: Ground, folder: Path, words: Any, number: int, delay: float, early: bool) -> Iterator[str]:
    whole = _unbroken(ground.folder / f"signals-{os.getpid()}")
    running = start(folder, "train", *words, limit=120)
    if not early:
        _wait_for_checkpoint(folder, lambda: running.poll() is not None)
    time.sleep(delay)
    if running.poll() is not None:
        return  # it was faster
    running.kill(number)
    ended = running.wait()
    if ended.status == 0 and len(_records(folder)) == (1 if words is RUN else 2):
        return  # it was done
    yield from _said(number, ended.status, ended.text, early)
    yield from _again(folder, words, whole)


def _said(number: int, status: int | None, text: str, early: bool = False) -> Iterator[str]:
    if status not in STATUS[signal.Signals(number)]:
        yield f"status {status}, and should be {STATUS[signal.Signals(number)][0]}"
    if "Traceback (most recent call last)" in text:
        yield "traceback"
    if not early and not re.search(r"stopped|interrupt|terminated", text, re.I):
        yield "no line says that it was stopped"


def _again(folder: Path, words: Any, whole: dict[str, dict[str, Any]]) -> Iterator[str]:
    ended = run(folder, "train", *words, limit=120)
    if ended.status != 0:
        yield f"started again it ends with {ended.status}: {ended.err.strip()[-120:]}"
        return
    for name, record in _records(folder).items():
        yield from same_run(record, whole[name])
    yield from strays(folder / "outputs")


def _wait_for_checkpoint(folder: Path, ended: Callable[[], bool]) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and not ended() and not list(folder.glob("outputs/t/*/checkpoints/last.ckpt")):
        time.sleep(0.02)


def _in_joblib(ground: Ground, folder: Path, number: int, group: bool, delay: float) -> Iterator[str]:
    """As from a shell. `group`: the signal goes to all processes, as Ctrl-C in a terminal does."""
    try:
        import hydra_plugins.hydra_joblib_launcher  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SkippedTry("hydra-joblib-launcher is not installed") from error
    whole, token = _unbroken(ground.folder / f"signals-{os.getpid()}"), f"{os.getpid()}-{time.monotonic_ns()}"
    words = [*SWEEP, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    environment = {**os.environ, TOKEN: token, "TMPDIR": str(folder)}
    with (folder / "said").open("w") as said:
        command = [sys.executable, "-m", "binlit.train", *words]
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # else it would start with it ignored
        job = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True)
        signal.signal(signal.SIGINT, before)
        try:
            _wait_for_checkpoint(folder, lambda: job.poll() is not None)
            time.sleep(delay)
            if job.poll() is None:
                (os.killpg if group else os.kill)(job.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    job.wait(60)
                status = job.poll()
                if status is None:
                    yield "did not end within 60 s"
                yield from _said(number, status, (folder / "said").read_text())
            yield from _orphans(token)
        finally:
            for process in _processes(token):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            job.wait()
    yield from _again(folder, SWEEP, whole)


def _orphans(token: str) -> Iterator[str]:
    """Processes that are there five seconds after the sweep has ended."""
    until = time.monotonic() + 5
    while (left := _processes(token)) and time.monotonic() < until:
        time.sleep(0.2)
    if left:
        yield f"{len(left)} processes go on without it"


def _processes(token: str) -> list[int]:
    mark, found = f"{TOKEN}={token}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes() and b") Z " not in (path.parent / "stat").read_bytes():
                found.append(int(path.parent.name))
    return found
