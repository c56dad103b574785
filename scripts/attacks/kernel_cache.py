"""Kind 2: the compiled kernel in the cache, damaged, foreign or not to be made. numpy's scores in any case."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from attacks import packed_use
from attacks.ground import Ground
from attacks.running import SkippedTry, Try
from attacks.verdict import MARK, unhurt, untouched

TITLE, LEAN = "the cache of the compiled kernel", True
HANG = 150  # s in which a compiler that hangs must have been given up
FOREIGN = 12345  # a user id that is not ours


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        yield _try(
            ground, f"library cut to {share:.3f}", lambda cache, share=share: _each(cache, lambda p: _cut(p, share))
        )
    for number in range(8):
        at, bit = chance.random(), chance.randrange(8)
        yield _try(
            ground, f"library flip-{number}", lambda cache, at=at, bit=bit: _each(cache, lambda p: _flip(p, at, bit))
        )
    for name, change in CHANGES.items():
        yield _try(ground, name, change)
    for name, script in COMPILERS.items():
        yield _compiler(ground, name, script)


def _try(ground: Ground, name: str, change: Callable[[Path], None]) -> Try:
    def act(folder: Path) -> Iterator[str]:
        cache = folder / "cache"
        shutil.copytree(ground.folder / "kernels", cache, copy_function=shutil.copy2)
        try:
            change(cache)
            yield from _right(ground, folder, cache)
        finally:
            _unmount(cache)

    return Try(name, act)


def _compiler(ground: Ground, name: str, script: str) -> Try:
    def act(folder: Path) -> Iterator[str]:
        path = folder / "bin" / "cc"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        yield from _right(ground, folder, folder / "cache", CC=str(path))

    return Try(f"compiler {name}", act)


def _right(ground: Ground, folder: Path, cache: Path, **environment: str) -> Iterator[str]:
    """numpy's scores, at most three lines, nothing run, nothing left."""
    path = ground.folder / "conv.binlit"
    ended = packed_use.loaded(folder, path, cache, "auto", HANG, **environment)
    yield from unhurt(ended)
    yield from untouched(folder)
    if ended.status != 0:
        yield f"status {ended.status}: {ended.err.strip().splitlines()[-1:]}"
        return
    expected = packed_use.by_the_page(path)
    if expected is None or not np.allclose(np.load(folder / packed_use.SCORES), expected, rtol=1e-9, atol=1e-9):
        yield "other scores than numpy's"
    if len(ended.text.splitlines()) > 3:
        yield f"{len(ended.text.splitlines())} lines"


def _each(cache: Path, change: Callable[[Path], None]) -> None:
    for path in sorted(path for path in cache.rglob("*") if path.is_file()):
        if path.suffix == ".so":
            change(path)


def _cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def _flip(path: Path, at: float, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1 << bit
    path.write_bytes(content)


def _hostile(cache: Path, edit: str = "") -> None:
    """The same functions, and a mark when it is loaded."""
    source = cache / "hostile.c"
    mark = cache.parent / MARK
    source.write_text(
        f'#include <stdio.h>\n__attribute__((constructor)) static void mark(void) {{ fopen("{mark}", "w"); }}\n'
    )
    made = cache / "hostile.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SkippedTry("no C compiler")
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(made)], check=True)
    for path in sorted(cache.rglob("*.so")):
        if path != made:
            shutil.copyfile(made, path)
    made.unlink()
    source.unlink()


def _foreign(cache: Path) -> None:
    """As another user would leave it in a folder that all may write to."""
    if os.geteuid():
        raise SkippedTry("only root can give files away")
    _hostile(cache)
    for path in [cache, *cache.rglob("*")]:
        os.chown(path, FOREIGN, FOREIGN)
        path.chmod(0o777)


def _open_to_all(cache: Path) -> None:
    _hostile(cache)
    for path in [cache, *cache.rglob("*")]:
        path.chmod(0o777)


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return lambda cache: _each(cache, change)


def _mounted(options: str) -> Callable[[Path], None]:
    def change(cache: Path) -> None:
        shutil.rmtree(cache)
        cache.mkdir()
        mounted(cache, options)

    return change


def mounted(folder: Path, options: str) -> None:
    """A tmpfs on a folder.

    Raises:
        SkippedTry: the user may not.
    """
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        raise SkippedTry("a tmpfs cannot be mounted here")


def _unmount(folder: Path) -> None:
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def _a_file(cache: Path) -> None:
    shutil.rmtree(cache)
    cache.write_text("")


def _unwritable(cache: Path) -> None:
    shutil.rmtree(cache)
    cache.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)


CHANGES: dict[str, Callable[[Path], None]] = {
    "as it is": lambda cache: None,
    "a foreign user's library": _foreign,
    "another library in an open folder": _open_to_all,
    "another library in its place": _hostile,
    "library a folder": _replaced(lambda path: path.mkdir()),
    "library a fifo": _replaced(os.mkfifo),
    "library a text": _replaced(lambda path: path.write_text("no library")),
    "library a link to nowhere": _replaced(lambda path: path.symlink_to("/nowhere/at/all")),
    "library a link to itself": _replaced(lambda path: path.symlink_to(path)),
    "library of zeros": _replaced(lambda path: path.write_bytes(bytes(20_000))),
    "cache without execution": _mounted("noexec,size=4m"),
    "cache read-only": _mounted("ro,size=4m"),
    "cache full": _mounted("size=4k"),
    "cache a file": _a_file,
    "cache unwritable": _unwritable,
    "no cache": lambda cache: shutil.rmtree(cache),
}
COMPILERS = {
    "that hangs": "exec sleep 100000",
    "that hangs in a child": "sleep 100000; exit 0",
    "that fails": "echo 'internal error' >&2; exit 1",
    "that fails at length": "yes 'internal error' | head -n 100000 >&2; exit 1",
    "that makes nothing": "exit 0",
    "that makes a text": 'while [ "$1" != -o ]; do shift; done; echo no library > "$2"',
    "that is killed": "kill -9 $$",
    "that writes no text": "head -c 1000 /dev/urandom >&2; exit 1",
}
