"""The five ways in which a checkpoint is used, and whether a use of an attacked one ended well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from attacks.ground import LONGER, Ground
from attacks.running import run
from attacks.verdict import answers, record_of, refused, same_answer_or_refused, same_run, strays, unhurt, untouched

Change = Callable[[Path], None]  # attacks one checkpoint, in place
WAYS = ("evaluate", "folder", "export", "start", "resume")


def attacked(way: str, ground: Ground, folder: Path, change: Change) -> Iterator[str]:
    """One use of a checkpoint that `change` has attacked. Either all is as without the attack, or it is refused."""
    outputs = ground.copy(folder, "dense" if way == "export" else "s")
    of = ground.dense if way == "export" else ground.drawn
    own = outputs / of.relative_to(ground.folder / "outputs")
    path = own / "checkpoints" / ("last.ckpt" if way in ("start", "resume") else "best.ckpt")
    change(path)
    yield from USES[way](ground, folder, own, path)
    yield from untouched(folder)
    yield from strays(outputs)


def _evaluate(ground: Ground, folder: Path, run_folder: Path, path: Path) -> Iterator[str]:
    ended = run(folder, "evaluate", f"checkpoint={path.relative_to(folder)}", "threads=1")
    yield from unhurt(ended, ground.peak["evaluate"])
    yield from same_answer_or_refused(ended, ground.answer, path.name)


def _folder(ground: Ground, folder: Path, run_folder: Path, path: Path) -> Iterator[str]:
    """One bad run among good ones: it is named, and the others are tested."""
    (run_folder / "evaluations.jsonl").unlink()  # so that it is tested again
    ended = run(folder, "evaluate", "checkpoint=outputs/s", "binary.eval=threshold", "threads=1")
    yield from unhurt(ended, ground.peak["evaluate"])
    found, expected = answers(ended.out), ground.threshold
    if ended.status == 0 and found == expected:
        return
    if ended.status == 0:
        yield f"status 0, and other figures: {found}, unattacked {expected}"
    if expected[1] not in found:
        yield "one bad run keeps the others from being tested"
    if set(found) - set(expected):
        yield f"another figure: {found}, unattacked {expected}"
    said = [line for line in ended.err.splitlines() if line.strip()]
    if len(said) > 3 or run_folder.name not in ended.err:
        yield f"{len(said)} lines, and the bad run is {'' if run_folder.name in ended.err else 'not '}named"


def _export(ground: Ground, folder: Path, run_folder: Path, path: Path) -> Iterator[str]:
    out = folder / "net.binlit"
    ended = run(folder, "export", f"checkpoint={path.relative_to(folder)}", "out=net.binlit")
    yield from unhurt(ended, ground.peak["export"])
    if ended.status != 0:
        yield from refused(ended, path.name)
        if out.exists():
            yield "refused, and a file was written"
    elif out.read_bytes() != (ground.folder / "dense.binlit").read_bytes():
        yield "another net was packed"


def _start(ground: Ground, folder: Path, run_folder: Path, path: Path) -> Iterator[str]:
    ended = run(folder, "train", *LONGER, "name=on", f"ckpt_path={path.relative_to(folder)}")
    yield from unhurt(ended, ground.peak["train"])
    made = list((folder / "outputs" / "on").glob("*/result.json"))
    if ended.status != 0:
        yield from refused(ended, path.name)
        if any(record_of(each.parent).get("status") == "ok" for each in made):
            yield "refused, and a record says ok"
    elif not made:
        yield "status 0 without a record"
    else:
        yield from same_run(record_of(made[0].parent), ground.longer)


def _resume(ground: Ground, folder: Path, run_folder: Path, path: Path) -> Iterator[str]:
    """The run's own last checkpoint: gone on from, set aside, or refused; in the first two the unbroken run's bits."""
    (run_folder / "result.json").unlink()
    ended = run(folder, "train", *LONGER, f"hydra.run.dir={run_folder.relative_to(folder)}")
    yield from unhurt(ended, ground.peak["train"])
    if ended.status != 0:
        yield from refused(ended, run_folder.name)  # of which the checkpoint's whole path is a part
    else:
        yield from same_run(record_of(run_folder), ground.longer)


USES: dict[str, Callable[[Ground, Path, Path, Path], Iterator[str]]] = {
    "evaluate": _evaluate,
    "folder": _folder,
    "export": _export,
    "start": _start,
    "resume": _resume,
}
