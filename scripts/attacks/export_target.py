"""Kind 4: `out=` and `onnx=` of the export at devices, pipes, links and folders; permissions; the same bytes again."""

from __future__ import annotations

import os
import random
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from attacks.ground import Ground
from attacks.running import SkippedTry, Try, run
from attacks.verdict import refused, strays, unhurt, untouched

TITLE = "where the export writes"


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for key in ("out", "onnx"):
        for name, make in TARGETS.items():
            yield Try(f"{key}= {name}", lambda folder, key=key, make=make: _kept(ground, folder, key, make))
        for mask in (0o022, 0o077, 0o027):
            yield Try(f"{key}= umask {mask:03o}", lambda folder, key=key, mask=mask: _mode(ground, folder, key, mask))
        yield Try(f"{key}= twice", lambda folder, key=key: _twice(ground, folder, key))
    yield Try("out= the checkpoint itself", lambda folder: _own(ground, folder))


def _export(ground: Ground, folder: Path, key: str, target: str):
    words = [f"{key}={target}"] if key == "out" else ["out=net.binlit", f"onnx={target}"]
    return run(folder, "export", f"checkpoint={ground.dense}/checkpoints/best.ckpt", *words)


def _kept(ground: Ground, folder: Path, key: str, make: Callable[[Path], Path]) -> Iterator[str]:
    """What is no regular file is refused, and is there afterwards as it was."""
    target = folder / "place" / "target"
    target.parent.mkdir()
    kept = make(target)
    before = _kind(kept)
    ended = _export(ground, folder, key, "place/target")
    yield from unhurt(ended, ground.peak["export"])
    yield from untouched(folder)
    yield from strays(folder / "place")
    yield from refused(ended, "target")
    if not os.path.lexists(kept) or _kind(kept) != before:
        yield "what stood there was replaced"


def _kind(path: Path) -> tuple[int, int, bytes]:
    """Type, device and content."""
    found = path.lstat()
    return stat.S_IFMT(found.st_mode), found.st_rdev, path.read_bytes() if stat.S_ISREG(found.st_mode) else b""


def _mode(ground: Ground, folder: Path, key: str, mask: int) -> Iterator[str]:
    before = os.umask(mask)
    try:
        ended = _export(ground, folder, key, "made")
    finally:
        os.umask(before)
    yield from unhurt(ended, ground.peak["export"])
    if ended.status != 0:
        yield f"status {ended.status}"
    elif (found := stat.S_IMODE((folder / "made").stat().st_mode)) != 0o666 & ~mask:
        yield f"mode {found:03o} where the umask says {0o666 & ~mask:03o}"


def _twice(ground: Ground, folder: Path, key: str) -> Iterator[str]:
    for name in ("first", "second"):
        ended = _export(ground, folder, key, name)
        yield from unhurt(ended, ground.peak["export"])
    if (folder / "first").read_bytes() != (folder / "second").read_bytes():
        yield "the same net gave other bytes"


def _own(ground: Ground, folder: Path) -> Iterator[str]:
    own = ground.copy(folder, "dense") / "dense" / ground.dense.name / "checkpoints" / "best.ckpt"
    before = own.read_bytes()
    ended = run(folder, "export", f"checkpoint={own}", f"out={own}")
    yield from unhurt(ended, ground.peak["export"])
    yield from refused(ended, own.name)
    if own.read_bytes() != before:
        yield "the checkpoint was written over"


def _device(kind: int, major: int, minor: int) -> Callable[[Path], Path]:
    def make(target: Path) -> Path:
        try:
            os.mknod(target, 0o666 | kind, os.makedev(major, minor))
        except PermissionError as error:
            raise SkippedTry("only root can make devices") from error
        return target

    return make


def _pipe(target: Path) -> Path:
    os.mkfifo(target)
    return target


def _socket(target: Path) -> Path:
    here = Path.cwd()
    os.chdir(target.parent)  # such names are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(target.name)
    finally:
        os.chdir(here)
    return target


def _folder(target: Path) -> Path:
    target.mkdir()
    return target


def _link_to(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def linked(target: Path) -> Path:
        make(target.with_name("other"))
        target.symlink_to("other")
        return target.with_name("other")

    return linked


def _loop(target: Path) -> Path:
    target.symlink_to(target.name)
    return target


TARGETS: dict[str, Callable[[Path], Path]] = {
    "a null device": _device(stat.S_IFCHR, 1, 3),
    "a full device": _device(stat.S_IFCHR, 1, 7),
    "a pipe": _pipe,
    "a socket": _socket,
    "a folder": _folder,
    "a link to a null device": _link_to(_device(stat.S_IFCHR, 1, 3)),
    "a link to a pipe": _link_to(_pipe),
    "a link to a folder": _link_to(_folder),
    "a link to itself": _loop,
}
