"""Records, lines and manifests that are torn, foreign, changed or of another version: named, and left out."""

from __future__ import annotations

import copy
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from test_evaluations import RECORDS as RUNS
from test_evaluations import again

from binlit.errors import ConfigError
from binlit.paths import EVALUATIONS, MANIFEST, RECORD, RECORDS
from binlit.report import main
from binlit.results.folder import FolderError, locked, set_aside
from binlit.results.record import (
    finished,
    keep_evaluation,
    latest,
    read_evaluations,
    read_manifest,
    read_record,
    read_records,
    write_record,
)
from binlit.results.table import build_table

LINE = Path(__file__).parents[2] / "docs" / "results" / "mnist_table" / RECORDS


def runs() -> list[dict[str, Any]]:
    """Three of the six, with what a run itself leaves in its record."""
    own = {"best_epoch": 1, "samples_per_s": 1.0}
    return [{key: value for key, value in (run | own).items() if key != "evaluations"} for run in RUNS[:3]]


def fill(folder: Path) -> list[Path]:
    """A folder of three runs, one of them tested again, and its manifest; gives the files."""
    jobs = [{key: run[key] for key in ("row", "seed", "fingerprint")} for run in runs()]
    for number, run in enumerate(runs()):
        write_record(folder / str(number), run)
    for seed in (0, 1):
        keep_evaluation(folder / "2", again("mean", 0.77, seed, draws=20))
    (folder / MANIFEST).write_text(json.dumps(jobs, indent=1))
    (folder / "docs").mkdir()
    lines = LINE.read_text().splitlines()[:3]
    (folder / "docs" / RECORDS).write_text("".join(f"{line}\n" for line in lines))
    return [folder / "0" / RECORD, folder / "2" / EVALUATIONS, folder / MANIFEST, folder / "docs" / RECORDS]


WHOLE_FILE = {
    "empty": lambda raw, _: b"",
    "torn": lambda raw, chance: raw[: chance.randrange(1, len(raw) - 1)],
    "zeros": lambda raw, _: bytes(len(raw)),
    "zeros at its end": lambda raw, chance: raw[: -chance.randrange(2, 100)] + bytes(100),
    "no text": lambda raw, chance: chance.randbytes(200),
    "web page": lambda raw, _: b"<html>not found</html>",
    "nested": lambda raw, _: b"[" * 100_000,
    "number": lambda raw, _: b"7",
    "null": lambda raw, _: b"null",
    "list": lambda raw, _: b"[1, [2], null]",
    "other object": lambda raw, _: b'{"format": 7, "runs": []}',
    "digits": lambda raw, _: b"[" + b"9" * 5000 + b"]",
    "other encoding": lambda raw, _: b"\xff" + raw,
    "byte order mark": lambda raw, _: b"\xef\xbb\xbf" + raw,
    "UTF-16": lambda raw, _: raw.decode().encode("utf-16"),
    "glued": lambda raw, _: raw.strip() + raw.strip(),
}


def changed_parts(content: Any, chance: random.Random) -> Any:
    """The content with one part somewhere within it missing or of another type."""
    content = copy.deepcopy(content)
    node: Any = content
    parent: Any = content
    key: Any = next(iter(content), None) if isinstance(content, dict) else 0
    for _ in range(chance.randrange(1, 4)):
        if not node or not isinstance(node, dict | list):
            break
        parent, key = node, chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
        node = parent[key]
    if chance.random() < 0.3:
        del parent[key]
    else:
        parent[key] = chance.choice([None, -1, 1e999, "x", True, [], {}, [[1]], {"a": {}}])
    return content


def mutated(path: Path, raw: bytes, chance: random.Random) -> bytes:
    kind = chance.choice(["byte", "part", *WHOLE_FILE])
    if kind in WHOLE_FILE:
        return WHOLE_FILE[kind](raw, chance)
    if kind == "byte" and path.name in (RECORD, EVALUATIONS):  # these are sealed
        at = chance.randrange(len(raw))
        return raw[:at] + bytes([raw[at] ^ (1 << chance.randrange(8))]) + raw[at + 1 :]
    if path.suffix == ".jsonl":
        lines = raw.decode().splitlines()
        at = chance.randrange(len(lines))
        lines[at] = json.dumps(changed_parts(json.loads(lines[at]), chance))
        return "\n".join(lines).encode()
    return json.dumps(changed_parts(json.loads(raw), chance)).encode()


@pytest.mark.parametrize("which", range(4), ids=[RECORD, EVALUATIONS, MANIFEST, RECORDS])
def test_forty_mutations_of_each_file_give_no_other_figure_and_no_traceback(tmp_path, which, capsys):
    path = fill(tmp_path)[which]
    raw, chance = path.read_bytes(), random.Random(which)
    true = {run["fingerprint"]: run for run in runs()}
    lines = [json.loads(line) for line in LINE.read_text().splitlines()[:3]]
    tests = [again("mean", 0.77, seed, draws=20) for seed in (0, 1)]
    for _ in range(40):
        path.write_bytes(mutated(path, raw, chance))
        found = read_records(tmp_path)
        for record in found:
            expected = true[record["fingerprint"]]
            assert {key: record[key] for key in expected} == expected
            assert all(test in tests for test in record.get("evaluations", []))
        build_table(found, read_manifest(tmp_path), "other")
        assert finished(tmp_path / "0", runs()[0]["fingerprint"]) in (None, runs()[0])
        try:
            committed = read_records(tmp_path / "docs")
        except FileNotFoundError:
            committed = []
        assert len(latest(committed)) <= 3
        if path.name != RECORDS:
            assert committed == lines
        else:  # changed parts pass where a table does not look at them, and only there
            build_table(committed, [], "other")
    said = capsys.readouterr().err.splitlines()
    assert all(line.startswith(f"binlit: warning: {path} cannot be used, ") for line in said)
    assert said


def test_a_changed_byte_of_a_record_is_found_wherever_it_is(tmp_path, capsys):
    write_record(tmp_path, runs()[0])
    raw = (tmp_path / RECORD).read_bytes()
    for at in range(0, len(raw), 7):
        (tmp_path / RECORD).write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        found = read_record(tmp_path)  # what is found has changed in its blanks, or in the name of the seal
        assert found is None or {key: found[key] for key in runs()[0]} == runs()[0], at
    figure = raw.replace(b'"test/acc": 0.8', b'"test/acc": 0.9')
    assert figure != raw
    (tmp_path / RECORD).write_bytes(figure)
    assert read_record(tmp_path) is None
    assert "it was changed after it was written: the run counts as unfinished" in capsys.readouterr().err


def test_a_run_whose_record_is_damaged_is_run_again_and_the_others_are_reported(tmp_path, capsys):
    fill(tmp_path)
    (tmp_path / "0" / RECORD).write_text('{"status": "ok", "me')
    assert main([str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.err.count(f"{tmp_path}/0/result.json cannot be used, it is torn") == 1
    assert "missing" in shown.out  # its row has a hole
    with locked(tmp_path / "0"):
        assert finished(tmp_path / "0", runs()[0]["fingerprint"]) is None
        write_record(tmp_path / "0", runs()[0])
    assert finished(tmp_path / "0", runs()[0]["fingerprint"]) == runs()[0]


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere"), lambda path: path.symlink_to(path)]
)
def test_what_is_no_file_under_a_records_name_is_named_and_not_waited_for(tmp_path, make, capsys):
    fill(tmp_path)
    (tmp_path / "0" / RECORD).unlink()
    make(tmp_path / "0" / RECORD)
    assert len(read_records(tmp_path)) == 2
    assert read_record(tmp_path / "0") is None
    assert f"{tmp_path}/0/result.json cannot be used" in capsys.readouterr().err
    write_record(tmp_path / "0", runs()[0])  # what was there is kept under another name
    assert read_record(tmp_path / "0") == runs()[0]
    assert len(list((tmp_path / "0").iterdir())) == 2
    set_aside(tmp_path / "0")
    assert read_record(tmp_path / "0") is None


def test_huge_files_are_not_read(tmp_path, capsys):
    """Memory stays what it was: a record of 20 GB is not one, nor a line of as many bytes."""
    fill(tmp_path)
    for path in (tmp_path / "0" / RECORD, tmp_path / "2" / EVALUATIONS, tmp_path / MANIFEST):
        os.truncate(path, 20_000_000_000)
    assert len(read_records(tmp_path)) == 2
    assert read_manifest(tmp_path) == []
    assert [test["seed"] for test in read_evaluations(tmp_path / "2")] == [0, 1]
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_report_says_what_is_wrong_with_its_arguments_in_a_line(tmp_path, capsys):
    fill(tmp_path)
    page, binary, marked = tmp_path / "page.md", tmp_path / "page.png", tmp_path / "marked.md"
    page.write_text("no marks")
    binary.write_bytes(b"\x89PNG")
    (tmp_path / "file").write_text("")
    marked.write_text(f"<!-- table: {tmp_path.name} -->\n<!-- end of table -->\n")
    wrong = [
        ["--into", str(tmp_path / "nowhere.md")],
        ["--into", str(tmp_path)],
        ["--into", str(page)],
        ["--into", str(binary)],
        ["--into", "/dev/null"],
        ["--out", str(tmp_path / "file" / "x")],
        ["--out", str(tmp_path / "file")],
        ["--out", "/proc/x"],
        ["--out", str(tmp_path / ("x" * 300))],
        ["--against", "anneal"],
        ["--against", "anneal=nothing"],
    ]
    for words in wrong:
        assert main([str(tmp_path), *words]) == 2, words
        assert len(capsys.readouterr().err.splitlines()) == 1, words
    assert main([str(tmp_path), "--into", str(marked)]) == 0
    assert "| layer |" in marked.read_text()
    assert main(["/dev/null"]) == 2
    study = (LINE.parents[1] / "gradients" / RECORDS).read_text().splitlines()[0]
    (tmp_path / "mixed.jsonl").write_text(f"{LINE.read_text().splitlines()[0]}\n{study}\n")
    assert main([str(tmp_path / "mixed.jsonl")]) == 2
    assert "holds studies of gradients and runs" in capsys.readouterr().err


def test_folders_that_cannot_be_used_are_told_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    for folder in (
        tmp_path / "file",
        tmp_path / "file" / "x",
        tmp_path / "link",
        Path("/proc/x"),
        tmp_path / ("y" * 300),
    ):
        for use in (locked(folder).__enter__, lambda folder=folder: write_record(folder, runs()[0])):
            with pytest.raises(FolderError) as caught:
                use()
            assert isinstance(caught.value, ConfigError)  # an entry point says it and ends with 2
            assert "cannot be used" in str(caught.value)
            assert "\n" not in str(caught.value)
