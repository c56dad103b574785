"""Kind 9: full, read-only and unusable places. One line that names the folder; what was there stays whole."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attacks.ground import SMALL, SWEEP, Ground
from attacks.kernel_cache import mounted
from attacks.running import Ended, Try, run
from attacks.verdict import answers, record_of, same_run, strays, unhurt, untouched

TITLE = "full disk, read-only or unusable folder"
ONE = (*SMALL, "binary.layer=1")  # `drawn`
INTO = "hydra.run.dir=disk/run"
SIZES = (4, 40, 120, 200, 280, 360, 440, 600)  # KiB; two checkpoints take 330


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    for size in SIZES:
        yield _try(f"train, {size} KiB", lambda folder, size=size: _train(ground, folder, size))
    yield _try("train, full temporary folder", lambda folder: _temporary(ground, folder))
    yield _try("train, read-only", lambda folder: _train_read_only(ground, folder))
    yield _try("sweep, 40 KiB", lambda folder: _refused(folder, "40k", "train", *SWEEP, "output_dir=disk"))
    for name, use in USES.items():
        for state in ("read-only", "full"):
            yield _try(f"{name}, {state}", lambda folder, use=use, state=state: _used(ground, folder, use, state))
    for place in ("a-file", "a-file/below", "/proc/below", "/dev/full/below", "a-link"):
        yield _try(f"train into {place}", lambda folder, place=place: _unusable(ground, folder, place))


def _try(name: str, act: Callable[[Path], Iterator[str]]) -> Try:
    def mounting(folder: Path) -> Iterator[str]:
        (folder / "disk").mkdir()
        try:
            yield from act(folder)
        finally:
            subprocess.run(["umount", "-l", str(folder / "disk")], capture_output=True, check=False)

    return Try(name, mounting)


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder / "disk")], capture_output=True, check=True)


def _one_line(ended: Ended, lines: int = 3) -> Iterator[str]:
    said = [line for line in ended.err.splitlines() if line.strip() and "warn" not in line.lower()]
    if len(said) > lines:
        yield f"{len(said)} lines ({said[-1][:120]})"
    if ended.status and "disk" not in ended.err:
        yield f"the folder is not named ({ended.err.strip()[-150:]})"


def _train(ground: Ground, folder: Path, size: int) -> Iterator[str]:
    """It says so and, given room, goes on to the same bits; where it ended well, its checkpoints are whole."""
    mounted(folder / "disk", f"size={size}k")
    ended = run(folder, "train", *ONE, INTO)
    yield from unhurt(ended, ground.peak["train"])
    yield from _one_line(ended)
    record = record_of(folder / "disk" / "run")
    if (ended.status == 0) != (record.get("status") == "ok"):
        yield f"status {ended.status}, and the record says {record.get('status')}"
    if record.get("status") == "ok":
        yield from _whole(folder / "disk" / "run")
    yield from untouched(folder)
    _remount(folder, "size=64m")
    ended = run(folder, "train", *ONE, INTO)
    if ended.status != 0:
        yield f"with room it ends with {ended.status}: {ended.err.strip()[-150:]}"
    else:
        yield from same_run(record_of(folder / "disk" / "run"), ground.record)
        yield from _whole(folder / "disk" / "run")
        yield from strays(folder / "disk")


def _whole(run_folder: Path) -> Iterator[str]:
    import torch

    for name in ("best.ckpt", "last.ckpt"):
        try:
            torch.load(run_folder / "checkpoints" / name, weights_only=True)
        except Exception as error:
            yield f"recorded ok, and {name} is not whole ({type(error).__name__})"


def _temporary(ground: Ground, folder: Path) -> Iterator[str]:
    """A run needs no room elsewhere than in its folder."""
    mounted(folder / "disk", "size=4k")
    (folder / "disk" / "full").write_bytes(b"")
    ended = run(folder, "train", *ONE, "hydra.run.dir=run", TMPDIR=str(folder / "disk"))
    yield from unhurt(ended, ground.peak["train"])
    yield from same_run(record_of(folder / "run"), ground.record)
    yield from _whole(folder / "run")


def _train_read_only(ground: Ground, folder: Path) -> Iterator[str]:
    mounted(folder / "disk", "ro,size=4m")
    ended = run(folder, "train", *ONE, INTO)
    yield from unhurt(ended, ground.peak["train"])
    yield from _one_line(ended)
    if ended.status == 0:
        yield "status 0, and nothing was kept"


def _refused(folder: Path, size: str, name: str, *words: str) -> Iterator[str]:
    mounted(folder / "disk", f"size={size}")
    ended = run(folder, name, *words)
    yield from unhurt(ended)
    if ended.status == 0:
        yield "status 0, and nothing was kept"
    said = [line for line in ended.err.splitlines() if line.strip() and "warn" not in line.lower()]
    if len(said) > 6:  # a line for each of four jobs, and the sum
        yield f"{len(said)} lines"


@contextmanager
def _filled(ground: Ground, folder: Path, state: str) -> Iterator[Path]:
    """The ground's runs on a disk that is then full or read-only."""
    mounted(folder / "disk", "size=16m")
    shutil.copytree(ground.folder / "outputs" / "s", folder / "disk" / "s")
    shutil.copytree(ground.folder / "outputs" / "dense", folder / "disk" / "dense")
    if state == "full":
        with (folder / "disk" / "filling").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
    else:
        _remount(folder, "ro")
    before = {path: path.read_bytes() for path in (folder / "disk").rglob("*") if path.is_file()}
    yield folder / "disk"
    after = {path for path in (folder / "disk").rglob("*") if path.is_file()}
    changed = [path for path in before if path not in after or not path.read_bytes().startswith(before[path])]
    (folder / "changed").write_text("".join(f"{path.name}\n" for path in changed if path.name != ".lock"))
    (folder / "more").write_text("".join(f"{path.name}\n" for path in after - set(before)))


Use = Callable[[Ground, Path, Path], Ended]


def _used(ground: Ground, folder: Path, use: tuple[Use, str], state: str) -> Iterator[str]:
    """`use` is a command, and what must be printed whatever the state of the disk; "" where it may be refused."""
    command, needed = use
    with _filled(ground, folder, state) as disk:
        ended = command(ground, folder, disk)
    yield from unhurt(ended)
    yield from _one_line(ended)
    yield from untouched(folder)
    if needed == "answer" and not answers(ended.out):
        yield "the result is not printed"
    if needed == "done" and (ended.status != 0 or "done already" not in ended.out):
        yield f"a finished run is not just announced (status {ended.status})"
    if needed == "" and ended.status == 0:
        yield "status 0, and nothing was kept"
    if changed := (folder / "changed").read_text().split():
        yield f"no longer as it was: {', '.join(changed)}"
    if more := [
        name for name in (folder / "more").read_text().split() if name.startswith(".") or name.endswith("part")
    ]:
        yield f"left behind: {', '.join(more)}"


USES: dict[str, tuple[Use, str]] = {
    "finished run": (
        lambda ground, folder, disk: run(folder, "train", *ONE, "name=s", f"hydra.run.dir=disk/s/{ground.drawn.name}"),
        "done",
    ),
    "finished sweep": (lambda ground, folder, disk: run(folder, "train", *SWEEP, "output_dir=disk"), "done"),
    "evaluate": (
        lambda ground, folder, disk: run(
            folder, "evaluate", f"checkpoint=disk/s/{ground.drawn.name}/checkpoints/best.ckpt", "binary.eval=mean"
        ),
        "answer",
    ),
    "report": (lambda ground, folder, disk: run(folder, "report", "disk/s", "--title", "x" * 9000), ""),
    "export": (
        lambda ground, folder, disk: run(
            folder, "export", f"checkpoint=disk/dense/{ground.dense.name}/checkpoints/best.ckpt"
        ),
        "",
    ),
}


def _unusable(ground: Ground, folder: Path, place: str) -> Iterator[str]:
    (folder / "a-file").write_text("kept")
    (folder / "a-link").symlink_to("a-link")
    ended = run(folder, "train", *ONE, f"hydra.run.dir={place}")
    yield from unhurt(ended, ground.peak["train"])
    if ended.status != 2:
        yield f"status {ended.status}"
    if len(ended.err.splitlines()) > 3 or place.split("/")[0 if place[0] != "/" else 1] not in ended.err:
        yield f"{len(ended.err.splitlines())} lines, or the place is not named ({ended.err.strip()[-120:]})"
    if (folder / "a-file").read_text() != "kept":
        yield "a file was written over"
