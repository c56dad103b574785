"""The system's C compiler, asked for a shared library once, for a limited time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from binlit.runtime.kernel_folder import LARGEST

COMPILERS = ("cc", "gcc", "clang")
SECONDS = 60  # that it may take; it needs one to four
REMEDY = "install a C compiler (such as gcc) or name one in $CC, or load with kernel='numpy'"


class NativeError(RuntimeError):
    """The kernel cannot be compiled or does not compute what it should; the message has the remedy."""


def built(source: Path, flags: tuple[str, ...]) -> bytes:
    """The library that $CC, or the system's compiler, makes of a source.

    Raises:
        NativeError: there is no compiler, it fails, or it has not ended after SECONDS.
    """
    named = os.environ.get("CC")
    found = shutil.which(named) if named else next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if found is None:
        raise NativeError(f"no C compiler ({named or ', '.join(COMPILERS)}) is there to build the kernel: {REMEDY}")
    made = _attempt((found, *flags, str(source)))
    if isinstance(made, NativeError):
        raise made
    return made


@cache
def _attempt(command: tuple[str, ...]) -> bytes | NativeError:
    """One for each process: to fail may take its time as well."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            out, said = Path(folder) / "kernel.so", Path(folder) / "said"
            status = _status([*command, "-o", str(out)], said)
            if status is None:
                return NativeError(f"{command[0]} has not built the kernel in {SECONDS} s: {REMEDY}")
            if status or not out.is_file():
                return NativeError(f"{command[0]} cannot build the kernel ({_first_line(said)}): {REMEDY}")
            with out.open("rb") as file:
                if os.fstat(file.fileno()).st_uid == os.geteuid():
                    return file.read(LARGEST)
            return NativeError(f"{folder} was changed by another user while the kernel was built: {REMEDY}")
    except OSError as error:
        return NativeError(f"the kernel cannot be built ({error}): {REMEDY}")


def _status(command: list[str], said: Path) -> int | None:
    """Runs a command for SECONDS at most; None where it was stopped, with all that it had started."""
    with said.open("wb") as words:  # no pipe, which a part of it could hold open
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True
        )
    try:
        return started.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if started.returncode is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def _first_line(said: Path) -> str:
    with said.open("rb") as file:
        lines = file.read(300).decode(errors="replace").strip().splitlines()
    return "".join(c if c.isprintable() else "?" for c in lines[0]) if lines else "no message"
