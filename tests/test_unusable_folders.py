"""Full disks, read-only folders and damaged runs: a line that names the folder, and no result lost for it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from binlit import evaluate, train
from binlit.paths import EVALUATIONS, RECORD
from binlit.report import main as report
from binlit.results import record as records

QUICK = ["model=mlp", "trainer.max_epochs=1", "dataset.batch_size=256", "logger=none", "name=t", "binary.layer=1"]
QUICK += ["trainer.enable_progress_bar=false"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder of two finished runs."""
    folder = tmp_path_factory.mktemp("trained")
    with contextlib.chdir(folder), mock.patch.object(sys, "argv", ["binlit", "-m", *QUICK, "seed=0,1"]):
        train.main()
    return folder / "outputs"


@pytest.fixture
def outputs(trained, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained, tmp_path / "outputs"))


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of its own, of 8 MB; skipped where none may be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def run(main, monkeypatch, *words: str) -> int:
    """A command in this process: its exit status; an exception fails the test."""
    monkeypatch.setattr(sys, "argv", ["binlit", *words])
    try:
        return main() or 0
    except SystemExit as end:
        return int(str(end.code))


def runs_of(outputs: Path) -> list[Path]:
    return sorted(path.parent for path in outputs.glob(f"t/*/{RECORD}"))


def complaints(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Error executing job")]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_damaged_run_is_named_and_the_others_are_tested(outputs, monkeypatch, capsys):
    bad, good = runs_of(outputs)
    raw = (bad / "checkpoints" / "best.ckpt").read_bytes()
    (bad / "checkpoints" / "best.ckpt").write_bytes(raw[:5000])
    asked = [f"checkpoint={outputs}", "binary.eval=threshold"]
    assert run(evaluate.main, monkeypatch, *asked) == 1
    said, told = capsys.readouterr()
    assert f"{good}/checkpoints/best.ckpt, threshold, seed 1: test accuracy" in said
    assert f"{bad}/checkpoints/best.ckpt" in told
    assert "1 of 2 runs could not be tested" in told
    assert "Traceback" not in told
    assert (good / EVALUATIONS).is_file()
    assert not (bad / EVALUATIONS).exists()
    (bad / RECORD).write_text("{")
    assert run(evaluate.main, monkeypatch, *asked) == 0
    assert "1 runs, 1 of them tested in another way" in capsys.readouterr().out


def test_a_result_that_cannot_be_kept_is_printed_first(outputs, monkeypatch, capsys):
    folder = runs_of(outputs)[0]
    monkeypatch.setattr(records, "append_line", full)
    assert run(evaluate.main, monkeypatch, f"checkpoint={folder}/checkpoints/best.ckpt") == 1
    said, told = capsys.readouterr()
    assert "test accuracy" in said
    (line,) = told.splitlines()
    assert "the result above is not kept in evaluations.jsonl" in line
    assert f"{folder} cannot be used: no space left on device; free some space there" in line


def test_a_test_on_other_lines_than_whole_ones_is_kept_on_a_line_of_its_own(outputs, monkeypatch):
    folder = runs_of(outputs)[0]
    (folder / EVALUATIONS).write_text('{"checkpoint": "best.ckpt", "ev')
    assert run(evaluate.main, monkeypatch, f"checkpoint={folder}/checkpoints/best.ckpt", "binary.eval=threshold") == 0
    (test,) = records.read_evaluations(folder)
    assert test["eval"] == "threshold"
    assert len((folder / EVALUATIONS).read_text().splitlines()) == 2


def test_a_run_whose_record_is_torn_is_run_again(outputs, monkeypatch, capsys):
    folder = runs_of(outputs)[0]
    before = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_bytes((folder / RECORD).read_bytes()[:300])
    (folder / f".{RECORD}.99999").write_text("left by a killed writer")
    assert run(train.main, monkeypatch, *QUICK) == 0
    assert "the run counts as unfinished" in capsys.readouterr().err
    after = json.loads((folder / RECORD).read_text())
    assert after["metrics"] == before["metrics"]
    assert not (folder / f".{RECORD}.99999").exists()
    assert run(train.main, monkeypatch, *QUICK) == 0
    assert "done already" in capsys.readouterr().out


@pytest.mark.parametrize("where", ["file", "file/x", "link/x", "/proc/x"])
def test_folders_that_cannot_be_made_are_told_before_training(outputs, monkeypatch, capsys, where):
    Path("file").write_text("")
    Path("link").symlink_to("nowhere")
    assert run(train.main, monkeypatch, *QUICK, f"output_dir={where}") == 2
    (line,) = complaints(capsys)
    assert "cannot be used: " in line
    assert "output_dir=FOLDER" in line


def test_a_path_that_no_file_system_takes_is_told(outputs, monkeypatch, capsys):
    assert run(train.main, monkeypatch, *QUICK, f"output_dir={'x' * 300}") == 2
    (line,) = complaints(capsys)
    assert "output_dir=" in line
    assert "give a shorter path" in line


def test_a_finished_sweep_writes_nothing(outputs, monkeypatch, capsys):
    def content() -> dict[Path, tuple[int, bytes]]:
        paths = [path for path in outputs.rglob("*") if path.is_file() and path.name != ".lock"]
        return {path: (path.stat().st_ino, path.read_bytes()) for path in paths}

    before = content()
    assert run(train.main, monkeypatch, "-m", *QUICK, "seed=0,1") == 0
    assert "2 done already, 0 to run" in capsys.readouterr().out
    assert content() == before
    (outputs / "t" / "sweep.json").write_text("[]")  # what is not noted is noted again
    assert run(train.main, monkeypatch, "-m", *QUICK, "seed=0,1") == 0
    assert len(json.loads((outputs / "t" / "sweep.json").read_text())) == 2


def test_in_a_read_only_folder_a_finished_run_is_announced_and_all_else_told(outputs, disk, monkeypatch, capsys):
    shutil.copytree(outputs, disk / "outputs")
    folder = runs_of(disk / "outputs")[0]
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    there = f"output_dir={disk}/outputs"
    assert run(train.main, monkeypatch, *QUICK, there) == 0
    assert "done already" in capsys.readouterr().out
    assert run(train.main, monkeypatch, "-m", *QUICK, there, "seed=0,1") == 0
    assert "2 done already, 0 to run" in capsys.readouterr().out
    for words in (["seed=7"], ["resume=false"]):
        assert run(train.main, monkeypatch, *QUICK, there, *words) == 2
        (line,) = complaints(capsys)
        assert "read-only file system; choose another with output_dir=FOLDER" in line
    assert run(evaluate.main, monkeypatch, f"checkpoint={folder}/checkpoints/best.ckpt") == 1
    said, told = capsys.readouterr()
    assert "test accuracy" in said
    assert "read-only file system" in told
    assert report([f"{disk}/outputs/t"]) == 2
    said, told = capsys.readouterr()
    assert "accuracy %" in said  # the table is shown all the same
    assert told.splitlines() == [
        f"binlit: {disk}/outputs/t cannot be used: read-only file system; choose another with --out FOLDER"
    ]


def test_on_a_full_disk_what_is_there_stays_and_a_line_says_so(outputs, disk, monkeypatch, capsys):
    shutil.copytree(outputs, disk / "outputs")
    folder = runs_of(disk / "outputs")[0]
    assert report([f"{disk}/outputs/t"]) == 0
    before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    capsys.readouterr()
    with contextlib.suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
        while rest.write(bytes(1 << 16)):
            pass
    there = f"output_dir={disk}/outputs"
    assert run(train.main, monkeypatch, *QUICK, there) == 0
    assert "done already" in capsys.readouterr().out
    assert run(train.main, monkeypatch, "-m", *QUICK, there, "seed=0,1") == 0
    assert "2 done already, 0 to run" in capsys.readouterr().out
    assert run(train.main, monkeypatch, *QUICK, there, "seed=7") in (1, 2)
    (line,) = complaints(capsys)
    assert "no space left on device; free some space there" in line
    assert str(disk) in line
    assert run(evaluate.main, monkeypatch, f"checkpoint={folder}/checkpoints/best.ckpt") == 1
    said, told = capsys.readouterr()
    assert "test accuracy" in said
    assert "no space left on device" in told
    assert report([f"{disk}/outputs/t", "--title", "other"]) == 2
    assert "no space left on device" in capsys.readouterr().err
    (disk / "rest").unlink()
    found = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    changed = {path.name for path in before | found if before.get(path) != found.get(path)}
    assert changed <= {".lock", EVALUATIONS, "config.yaml", "hydra.yaml", "overrides.yaml"}
    assert not [path for path in found if path.name.endswith(".part")]
