"""A command of binlit's in a forked copy of this process, within limits, and what became of it.

Importing torch takes seconds and a try a fraction of one: so a process that has imported everything forks for each try.
The copy gets a session, a folder, a TMPDIR, a cache and streams of its own, and dies with its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from multiprocessing import process
from pathlib import Path
from typing import Any

ROOM = 2 << 30  # bytes of address space that a try may take beyond what its parent has
LIMIT = 60.0  # s
PR_SET_PDEATHSIG = 1

Act = Callable[[], Any]


@dataclass(frozen=True)
class Try:
    """One try: `act` gets an empty folder and yields what went wrong, a line each."""

    name: str
    act: Callable[[Path], Iterable[str]]


class SkippedTry(Exception):  # noqa: N818  (nothing went wrong)
    """This machine or user does not have what the try needs; the text says what."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        what: the command.
        status: exit status; -N where signal N ended it; None where it had to be stopped.
        peak: largest resident memory in KiB.
        seconds: of processor time.
    """

    what: str
    status: int | None
    out: str
    err: str
    peak: int
    seconds: float

    @property
    def text(self) -> str:
        return self.out + self.err


class Running:
    """A started try: `pid` is also its process group."""

    def __init__(self, what: str, pid: int, logs: tuple[Path, Path], limit: float) -> None:
        self.what, self.pid, self.logs, self.until = what, pid, logs, time.monotonic() + limit
        self._ended: Ended | None = None

    def poll(self) -> Ended | None:
        """How it ended; None while it runs."""
        if self._ended is None:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._end(os.waitstatus_to_exitcode(status), used)
        return self._ended

    def wait(self) -> Ended:
        """How it ended; one that takes longer than its limit is killed."""
        while (ended := self.poll()) is None:
            if time.monotonic() > self.until:
                os.killpg(self.pid, signal.SIGKILL)
                _, _, used = os.wait4(self.pid, 0)
                self._end(None, used)
            else:
                time.sleep(0.004)
        return ended

    def kill(self, number: int = signal.SIGKILL, group: bool = False) -> None:
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    def _end(self, status: int | None, used: resource.struct_rusage) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # whatever it left running
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in self.logs)
        self._ended = Ended(self.what, status, out, err, used.ru_maxrss, used.ru_utime + used.ru_stime)


def run(folder: Path, name: str, *words: str, limit: float = LIMIT, **environment: str | None) -> Ended:
    """`python -m binlit.NAME WORDS` in `folder`, run to its end."""
    return start(folder, name, *words, limit=limit, **environment).wait()


def start(folder: Path, name: str, *words: str, limit: float = LIMIT, **environment: str | None) -> Running:
    """`python -m binlit.NAME WORDS` in `folder`, started."""

    def act() -> Any:
        sys.argv = [f"binlit-{name}", *words]
        return importlib.import_module(f"binlit.{name}").main()

    return fork(act, folder, f"binlit.{name} {' '.join(words)}", limit, environment)


def fork(
    act: Act, folder: Path, what: str, limit: float = LIMIT, environment: Mapping[str, str | None] | None = None
) -> Running:
    """`act` in a forked copy of this process, in `folder`; what it returns is the exit status, None for 0."""
    for name in ("logs", "tmp", "home"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    number = len(list((folder / "logs").iterdir())) // 2
    logs = folder / "logs" / f"{number}.out", folder / "logs" / f"{number}.err"
    for path in logs:
        path.touch()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(act, folder, logs, parent, environment or {})
    return Running(what, pid, logs, limit)


def _become(
    act: Act, folder: Path, logs: tuple[Path, Path], parent: int, environment: Mapping[str, str | None]
) -> None:
    status = 1
    try:
        _apart(folder, logs, parent, environment)
        status = act()
    except SystemExit as end:
        status = end.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        status = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0 if status is None else status & 0xFF if isinstance(status, int) else 1)


def _apart(folder: Path, logs: tuple[Path, Path], parent: int, environment: Mapping[str, str | None]) -> None:
    """Streams, session, limits, environment and folder of its own."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    process._parent_process = None  # type: ignore[attr-defined]  # as from a shell: not a worker of the campaign's pool
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for target, path, mode in ((0, os.devnull, os.O_RDONLY), (1, logs[0], flags), (2, logs[1], flags)):
        opened = os.open(path, mode)
        os.dup2(opened, target)
        os.close(opened)
    sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115  (for as long as the process lives)
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
    room = _address_space() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    own = {
        "TMPDIR": folder / "tmp",
        "HOME": folder / "home",
        "BINLIT_CACHE_DIR": folder / "cache",
        "BINLIT_DATA_DIR": folder / "no-data",
        "COLUMNS": 200,
        "http_proxy": "http://127.0.0.1:9",  # nothing is fetched
        "https_proxy": "http://127.0.0.1:9",
    }
    for key, value in (own | dict(environment)).items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = str(value)
    tempfile.tempdir = None
    os.chdir(folder)
    sys.path[0] = str(folder)


def _address_space() -> int:
    """Bytes of it that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
