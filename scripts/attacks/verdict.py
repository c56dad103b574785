"""What is wrong with how a command ended. Each function yields complaints, and nothing where all is well."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attacks.running import Ended

MARK = "code-ran"  # a file that hostile input makes when any of it is executed
EXHAUSTED = re.compile(r"MemoryError|unable to allocate|out of memory|alloc_cpu|bad_alloc|not enough memory", re.I)
ANSWER = re.compile(r"test accuracy ([\d.]+|nan) %, loss ([\w.+-]+)")
# What a run's folder may hold that begins with a point; and ends of names that only unfinished writing leaves.
HIDDEN, UNFINISHED = (".lock", ".hydra"), (".part", ".tmp", ".temp", "~")


def unhurt(ended: Ended, normal: float = math.inf) -> Iterator[str]:
    """What no input may bring about: a traceback, a crash, no end, more than twice the memory of a normal run (KiB)."""
    if "Traceback (most recent call last)" in ended.text:
        last = [line for line in ended.text.splitlines() if re.match(r"[\w.]+(Error|Exception|Interrupt|Exit)\b", line)]
        yield f"traceback ({last[-1][:150] if last else '?'})"
    if ended.status is None:
        yield "did not end"
    elif ended.status < 0:
        yield f"ended by signal {-ended.status}"
    if ended.peak > 2 * normal:
        yield f"{ended.peak / 1024:.0f} MiB of memory, normal is {normal / 1024:.0f}"
    if found := EXHAUSTED.search(ended.text):
        yield f"ran out of memory ({found[0]})"


def refused(ended: Ended, names: str | None = None, lines: int = 3, whole: bool = False) -> Iterator[str]:
    """Whether it was refused as a slip is: status 2 and 1 to `lines` lines on standard error that name `names`.

    With `whole` nothing else may have been printed.
    """
    if ended.status != 2:
        yield f"status {ended.status} where a refusal ends with 2 ({_tail(ended)})"
        return
    text = ended.text if whole else ended.err
    text = (
        text[text.rfind(": error:") :] if text.startswith("usage:") else text
    )  # argparse's lines on usage are its own
    said = [line for line in text.splitlines() if line.strip()]
    if not 1 <= len(said) <= lines:
        yield f"{len(said)} lines where a refusal takes 1 to {lines} ({said[0][:100] if said else ''})"
    if names is not None and names not in ended.err:
        yield f"the refusal does not name {names} ({ended.err.strip()[:150]})"


def same_answer_or_refused(ended: Ended, answer: str, names: str | None = None, lines: int = 3) -> Iterator[str]:
    """Status 0 with the figures of the unattacked net, or a refusal that names the file."""
    if ended.status != 0:
        yield from refused(ended, names, lines)
    elif answer_of(ended.out) != answer:
        yield f"another figure: {answer_of(ended.out)}, unattacked {answer}"


def answer_of(text: str) -> str | None:
    """The last result that a command printed."""
    found = answers(text)
    return found[-1] if found else None


def answers(text: str) -> list[str]:
    """All results that a command printed."""
    return [match[0] for match in ANSWER.finditer(text)]


def untouched(folder: Path) -> Iterator[str]:
    """Whether nothing of the input was executed, and nothing was left in the temporary folder."""
    if list(folder.rglob(f"{MARK}*")):
        yield "code of the input was run"
    left = sorted(path.name for path in (folder / "tmp").iterdir())
    if left:
        yield f"left in the temporary folder: {', '.join(left[:4])}"


def strays(folder: Path) -> Iterator[str]:
    """Files that a writer did not finish."""
    found = [
        path
        for path in folder.rglob("*")
        if (path.name.startswith(".") and path.name not in HIDDEN) or path.name.endswith(UNFINISHED)
    ]
    found = [path for path in found if not path.name.endswith(".lock") and ".hydra" not in path.parts]
    if found:
        yield f"left behind: {', '.join(str(path.relative_to(folder)) for path in found[:4])}"


def record_of(folder: Path) -> dict[str, Any]:
    """The record in a run's folder; {} where there is none that can be read."""
    try:
        return json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def same_run(record: dict[str, Any], reference: dict[str, Any]) -> Iterator[str]:
    """Whether two records tell of the same bits: metrics, and the curve but for its times."""
    if record.get("status") != "ok":
        yield f"the record's status is {record.get('status')}"
        return
    if reference.get("status") != "ok":
        yield "the run that it is compared with has no record"
        return
    if record.get("metrics") != reference["metrics"]:
        yield f"other metrics: {record.get('metrics')}, unbroken {reference['metrics']}"
    elif _figures(record) != _figures(reference):
        yield f"another curve: {len(_figures(record))} epochs, unbroken {len(reference['curve'])}"


def _figures(record: dict[str, Any]) -> list[dict[str, float]]:
    timed = ("seconds", "train_seconds", "examples_per_s", "samples_per_s")
    curve = [entry for entry in record.get("curve", ()) if isinstance(entry, dict)]
    return [{key: value for key, value in entry.items() if key not in timed} for entry in curve]


def _tail(ended: Ended) -> str:
    said = [line for line in ended.text.splitlines() if line.strip()]
    return said[-1].strip()[:150] if said else "nothing said"
