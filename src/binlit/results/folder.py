"""The folder of a run: held by one process, an earlier run set aside, and a line where it cannot be used."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from binlit.errors import ConfigError
from binlit.files import alone, refusal, remove_leftovers, write_whole
from binlit.paths import COMPANIONS, EVALUATIONS, RECORD

REMEDY = "choose another with output_dir=FOLDER"
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)


class FolderError(ConfigError):
    """A folder cannot be used as it must be; the message names it, says why, and what to do."""


@contextlib.contextmanager
def usable(folder: Path, remedy: str = REMEDY) -> Iterator[None]:
    """What the system refuses to do in `folder` is said in a line.

    Raises:
        FolderError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise FolderError(refusal(error, folder, remedy)) from error


def made(folder: Path, remedy: str = REMEDY) -> Path:
    """The folder, made where it was not there.

    Raises:
        FolderError: it cannot be made or written.
    """
    with usable(folder, remedy):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, "it cannot be written")
    return folder


@contextlib.contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[None]:
    """Holds the folder for one process; others wait. The lock goes with the process, however it ends.

    A job whose sweep was killed may live on for a while: a second start waits for it and then finds its record. What
    killed writers left is removed. A folder that holds a record and cannot be written is not locked: nobody can be
    at work in it.

    Raises:
        FolderError: the folder cannot be made or written.
        BlockingIOError: another process holds it, and wait=False.
    """
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone(folder / ".lock", f"waiting for the process that is at work in {folder}", wait))
            for file in (RECORD, EVALUATIONS):
                remove_leftovers(folder / file)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in UNWRITABLE or not (folder / RECORD).is_file():
                raise FolderError(refusal(error, folder, REMEDY)) from error
        yield


def write_over(path: Path, text: str) -> Path:
    """Writes a run's or a sweep's own file, whole or not at all. What is no file under its name is set aside.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    if os.path.lexists(path) and not path.is_file():  # a folder, a pipe, a link to nowhere
        path.rename(path.with_name(f"{path.name}.aside-{time.time_ns()}"))
    return write_whole(path, text)


def set_aside(folder: Path) -> None:
    """Moves what an earlier run left in `folder` into folder/superseded/N, where no report looks.

    Raises:
        FolderError: the folder cannot be written.
    """
    with usable(folder):
        if not os.path.lexists(folder / RECORD) and not (folder / "checkpoints").exists():
            return
        old = folder / "superseded"
        numbers = [int(path.name) for path in old.iterdir() if path.name.isdecimal()] if old.exists() else []
        target = old / str(1 + max(numbers, default=0))
        target.mkdir(parents=True)
        for path in list(folder.iterdir()):
            if path.name not in ("superseded", ".lock", ".hydra", COMPANIONS):
                path.rename(target / path.name)
