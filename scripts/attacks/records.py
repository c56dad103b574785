"""Kind 8: torn, empty, foreign and future records. The bad file is named and passed over; the others count."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attacks.ground import SMALL, SWEEP, Ground
from attacks.running import Ended, Try, run
from attacks.verdict import answers, record_of, same_run, strays, unhurt, untouched

TITLE = "one bad record"
ONE = (*SMALL, "binary.layer=1", "name=s")  # the command of `drawn`
Change = Callable[[Path, random.Random], None]
REQUIRED = ("status", "experiment", "row", "seed", "fingerprint", "metrics", "config", "finished", "curve")


def tries(ground: Ground, chance: random.Random) -> Iterator[Try]:
    ways = {"result.json": ["report", "sweep", "evaluate", "resume"], "records.jsonl": ["report"]}
    ways |= {"sweep.json": ["report", "sweep"], "evaluations.jsonl": ["report", "again"]}
    for file, uses in ways.items():
        changes = {**BYTES, **OBJECTS} if file in ("result.json", "records.jsonl") else BYTES
        for number, (name, change) in enumerate(changes.items()):
            rotated = [uses[(number + k) % len(uses)] for k in range(2 if file == "result.json" else 1)]
            for use in rotated:
                seed = chance.random()
                yield Try(
                    f"{file} {name}, {use}", lambda folder, a=(file, use, change, seed): _attacked(ground, folder, *a)
                )


def _attacked(ground: Ground, folder: Path, file: str, use: str, change: Change, seed: float) -> Iterator[str]:
    sweep = ground.copy(folder, "s") / "s"
    own = sweep / ground.drawn.name
    if file == "records.jsonl":
        for each in sweep.glob("layer-*"):
            shutil.rmtree(each)
    path = (own if file in ("result.json", "evaluations.jsonl") else sweep) / file
    change(path, random.Random(seed))
    yield from USES[use](ground, folder, own, path)
    yield from untouched(folder)
    yield from strays(sweep)


def _named(ended: Ended, path: Path, own: Path) -> Iterator[str]:
    """What happens to a bad file is told in at most three lines, which name it."""
    said = [line for line in ended.err.splitlines() if line.strip() and "Warning" not in line]
    if len(said) > 3:
        yield f"{len(said)} lines"
    if path.name not in ended.text and own.name not in ended.text:
        yield f"{path.name} is not named"


def _report(ground: Ground, folder: Path, own: Path, path: Path) -> Iterator[str]:
    ended = run(folder, "report", "outputs/s")
    yield from unhurt(ended, ground.peak["report"])
    if ended.status not in (0, 1, 2):
        yield f"status {ended.status}"
    whole = _rows(ground.sweep / "table.csv")
    found = _rows(folder / "outputs" / "s" / "table.csv") if ended.status == 0 else {}
    bad = path.name in ("result.json", "records.jsonl")
    if (ended.status != 0 and (path.name != "records.jsonl")) or (ended.status == 0 and "none" not in found):
        yield "one bad file keeps the others out of the table"
    if found != whole or ended.status != 0:
        yield from _named(ended, path, own)
    for layer, (count, accuracy) in found.items():
        expected = whole.get(layer)
        if expected and count == expected[0] and accuracy != expected[1]:
            yield f"another figure in row {layer}: {accuracy}, unattacked {expected[1]}"
        if expected is None or (count != expected[0] and not bad):
            yield f"row {layer} has {count} runs, unattacked {expected and expected[0]}"


def _rows(path: Path) -> dict[str, tuple[int, str]]:
    """{layer: (runs, accuracy)}."""
    with path.open(newline="") as file:
        return {row["layer"]: (int(row["n"]), row["acc"]) for row in csv.DictReader(file) if int(row["n"])}


def _sweep(ground: Ground, folder: Path, own: Path, path: Path) -> Iterator[str]:
    """The same sweep again: the bad run is trained again, to the same bits, and the list of jobs is whole."""
    ended = run(folder, "train", *SWEEP, limit=120)
    yield from unhurt(ended, ground.peak["train"])
    if ended.status != 0:
        yield f"status {ended.status}"
        yield from _named(ended, path, own)
        return
    yield from same_run(record_of(own), ground.record)
    try:
        if len(json.loads((own.parent / "sweep.json").read_text())) != 4:
            yield "sweep.json does not list the four jobs"
    except (OSError, ValueError) as error:
        yield f"sweep.json is still bad ({error})"


def _resume(ground: Ground, folder: Path, own: Path, path: Path) -> Iterator[str]:
    ended = run(folder, "train", *ONE)
    yield from unhurt(ended, ground.peak["train"])
    if ended.status != 0:
        yield f"status {ended.status}"
        yield from _named(ended, path, own)
    else:
        yield from same_run(record_of(own), ground.record)


def _evaluate(ground: Ground, folder: Path, own: Path, path: Path) -> Iterator[str]:
    """The folder's other drawn run is tested."""
    ended = run(folder, "evaluate", "checkpoint=outputs/s", "binary.eval=threshold", "threads=1")
    yield from unhurt(ended, ground.peak["evaluate"])
    found = answers(ended.out)
    if ground.threshold[1] not in found:
        yield "one bad record keeps other runs from being tested"
    if set(found) - set(ground.threshold):
        yield f"another figure: {found}"
    if found != ground.threshold:
        yield from _named(ended, path, own)


def _again(ground: Ground, folder: Path, own: Path, path: Path) -> Iterator[str]:
    """Tested once more: the answer is given, and its line can be read."""
    ended = run(folder, "evaluate", f"checkpoint={own}/checkpoints/best.ckpt", "binary.eval=mean", "threads=1")
    yield from unhurt(ended, ground.peak["evaluate"])
    if not answers(ended.out):
        yield f"no answer, status {ended.status}"
        return
    if path.is_dir() or path.is_fifo() or path.is_symlink():
        return
    last = path.read_bytes().splitlines()[-1]
    try:
        if json.loads(last)["eval"] != "mean":
            yield "the new line is not there"
    except (ValueError, KeyError, TypeError):
        yield f"the new line cannot be read: {last[:80]!r}"


USES: dict[str, Callable[[Ground, Path, Path, Path], Iterator[str]]] = {
    "report": _report,
    "sweep": _sweep,
    "resume": _resume,
    "evaluate": _evaluate,
    "again": _again,
}


def _content(change: Callable[[bytes, random.Random], bytes]) -> Change:
    def changed(path: Path, chance: random.Random) -> None:
        path.write_bytes(change(path.read_bytes(), chance))

    return changed


def _high(content: bytes, chance: random.Random) -> bytes:
    """The top bit of a byte on: no text any more."""
    changed = bytearray(content)
    changed[chance.randrange(len(changed))] |= 128
    return bytes(changed)


def _hole(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]


def _instead(make: Callable[[Path], Any]) -> Change:
    def change(path: Path, chance: random.Random) -> None:
        path.unlink()
        make(path)

    return change


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(1, len(content) - 2)]


def _object(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Changes the record, or the first one of many."""

    def changed(path: Path, chance: random.Random) -> None:
        text = path.read_text()
        first, newline, rest = text.partition("\n") if path.suffix == ".jsonl" else (text, "", "")
        path.write_text(json.dumps(change(json.loads(first))) + newline + rest)

    return changed


def _put(key: str, value: Any) -> Change:
    return _object(lambda record: record | {key: value})


def _metric(value: Any) -> Change:
    return _object(lambda record: record | {"metrics": record["metrics"] | {"test/acc": value}})


BYTES: dict[str, Change] = {
    "empty": _content(lambda content, chance: b""),
    "NULs": _content(lambda content, chance: bytes(len(content))),
    "NULs behind": _content(lambda content, chance: content + bytes(100)),
    "NULs within": _content(_hole),
    "not closed": _content(lambda content, chance: content.rstrip()[:-1]),
    "a line behind without a newline": _content(lambda content, chance: content.rstrip() + content.rstrip()),
    "no newline": _content(lambda content, chance: content.rstrip()),
    "BOM": _content(lambda content, chance: b"\xef\xbb\xbf" + content),
    "UTF-16": _content(lambda content, chance: content.decode().encode("utf-16")),
    "CRLF": _content(lambda content, chance: content.replace(b"\n", b"\r\n")),
    "null": _content(lambda content, chance: b"null\n"),
    "a list": _content(lambda content, chance: b"[]\n"),
    "a list of nulls": _content(lambda content, chance: b"[null]\n"),
    "an object": _content(lambda content, chance: b"{}\n"),
    "a number": _content(lambda content, chance: b"7\n"),
    "a text": _content(lambda content, chance: b'"ok"\n'),
    "no JSON": _content(lambda content, chance: b"status: ok\n"),
    "deep": _content(lambda content, chance: b"[" * 100_000 + b"]" * 100_000),
    "digits": _content(lambda content, chance: b"1" * 1_000_000),
    "a folder": _instead(lambda path: path.mkdir()),
    "a pipe": _instead(os.mkfifo),
    "a link to itself": _instead(lambda path: path.symlink_to(path.name)),
    "a link to nowhere": _instead(lambda path: path.symlink_to("nowhere")),
} | {f"cut-{k}": _content(_cut) for k in range(5)} | {f"bit-{k}": _content(_high) for k in range(5)}  # fmt: skip
OBJECTS: dict[str, Change] = {
    **{
        f"without {key}": _object(lambda record, key=key: {k: v for k, v in record.items() if k != key})
        for key in REQUIRED
    },
    **{f"{key} null": _put(key, None) for key in REQUIRED},
    **{
        f"{key} a list": _put(key, [1])
        for key in ("status", "row", "seed", "fingerprint", "metrics", "config", "finished")
    },
    "of the future": _object(lambda record: record | {"version": 99, "more": {"a": [1]}}),
    "status of the future": _put("status", "paused"),
    "accuracy a text": _metric("0.5"),
    "accuracy null": _metric(None),
    "accuracy NaN": _metric(float("nan")),
    "accuracy infinite": _metric(float("inf")),
    "accuracy an object": _metric({}),
    "no metrics": _put("metrics", {}),
    "config empty": _put("config", {}),
    "config without dataset": _object(
        lambda record: record | {"config": {k: v for k, v in record["config"].items() if k != "dataset"}}
    ),
    "curve of texts": _put("curve", ["a"]),
    "row of lists": _put("row", {"layer": [1], "mode": {}, "estimator": None, "anneal": 3}),
}
