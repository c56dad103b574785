"""Sweeps: no row run twice, holes shown, and a sweep that was killed ends with the same table as an unbroken one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from binlit.results.pages.main_table import MainTable
from binlit.results.record import read_manifest, read_records

SMALL = ["model=mlp", "dataset.batch_size=256", "logger=none"]


def records(folder: Path) -> dict[str, dict]:
    return {record["fingerprint"]: record for record in read_records(folder)}


def test_rows_without_effect_run_once_and_nothing_runs_twice(command, tmp_path):
    sweep = [
        "-m",
        *SMALL,
        "trainer.max_epochs=1",
        "name=t",
        "binary.layer=null,1",
        "binary.mode=stochastic,deterministic",
    ]
    first = command("train", *sweep, "estimator=st,detached")
    assert first.returncode == 0, first.stderr
    assert "8 jobs: 3 the same as others, 0 done already, 5 to run" in first.stdout
    found = records(tmp_path / "outputs" / "t")
    assert len(found) == len(read_manifest(tmp_path / "outputs" / "t")) == 5
    finished = {name: record["finished"] for name, record in found.items()}

    again = command("train", *sweep, "estimator=st,detached,st_identity")
    assert "5 done already, 2 to run" in again.stdout
    for name, record in records(tmp_path / "outputs" / "t").items():
        assert finished.get(name, record["finished"]) == record["finished"]
    shown = command("report", "outputs/t")
    assert shown.returncode == 0
    assert "st_identity" in shown.stdout


def test_a_failed_job_leaves_a_record_and_the_others_go_on(command, tmp_path, monkeypatch):
    sweep = ["-m", *SMALL, "trainer.max_epochs=1", "name=t", "dataset=mnist,digits", f"data_dir={tmp_path}/nowhere"]
    done = command("train", *sweep, "dataset.download=false")
    assert done.returncode == 2  # digits has no setting `download`: refused before anything ran
    monkeypatch.setattr(urllib.request, "_opener", None)  # so that the proxies below are asked for
    done = command("train", *sweep, http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "1 of 2 jobs failed" in done.stderr
    assert "Traceback" not in done.stderr
    by_status = {record["status"]: record for record in read_records(tmp_path / "outputs" / "t")}
    assert set(by_status) == {"ok", "failed"}
    assert "dataset=digits works offline" in by_status["failed"]["error"]
    assert "failed" in command("report", "outputs/t").stdout


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_killed_three_times_ends_as_an_unbroken_one(tmp_path, command, launcher):
    """SIGKILL to the whole sweep at random moments while it trains; then the table is the same, to the bit."""
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = ["-m", *SMALL, "binary.layer=null,1", "seed=0,1", "estimator=st,rloo", "optimizer.lr=0.02"]
    sweep += ["trainer.max_epochs=10", "threads=1"]  # 6 jobs: 60 epochs in all; other threads, other last digits
    whole, broken = tmp_path / "outputs" / "whole", tmp_path / "outputs" / "broken"
    assert command("train", *sweep, "name=whole").returncode == 0
    words = [sys.executable, "-m", "binlit.train", *sweep, "name=broken", f"hydra/launcher={launcher}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start() -> subprocess.Popen:
        with (tmp_path / "log").open("a") as log:
            return subprocess.Popen(
                words, cwd=tmp_path, env=environment, start_new_session=True, stdout=log, stderr=log
            )

    chance = random.Random(launcher)
    for _ in range(3):
        job = start()
        _wait_for_checkpoints(broken, job, chance.randint(1, 15))
        time.sleep(chance.uniform(0, 0.05))  # anywhere in an epoch
        assert job.poll() is None, (tmp_path / "log").read_text()  # there is something left to kill
        os.killpg(job.pid, signal.SIGKILL)  # the workers as well
        job.wait(60)
    assert start().wait(280) == 0, (tmp_path / "log").read_text()

    tables = []
    for folder in (whole, broken):
        MainTable(read_records(folder), "t", expected=read_manifest(folder)).write(folder / "report")
        tables.append((folder / "report" / "table.csv").read_bytes())
    assert tables[0] == tables[1]
    left, right = records(whole), records(broken)
    assert len(left) == 6
    assert set(left) == set(right)
    for name, record in left.items():
        assert record["metrics"] == right[name]["metrics"]
        assert [e["train/loss"] for e in record["curve"]] == [e["train/loss"] for e in right[name]["curve"]]


def _wait_for_checkpoints(folder: Path, job: subprocess.Popen, count: int) -> None:
    """Until the sweep has written as many checkpoints (one an epoch) as that, or has ended."""

    def stamps() -> set[tuple[Path, int]]:
        found = set()
        for path in folder.glob("*/checkpoints/last.ckpt"):
            with contextlib.suppress(FileNotFoundError):  # being replaced
                found.add((path, path.stat().st_mtime_ns))
        return found

    seen, until = stamps(), time.monotonic() + 120
    wanted = len(seen) + count
    while len(seen) < wanted and time.monotonic() < until and job.poll() is None:
        time.sleep(0.01)
        seen |= stamps()


def test_a_refused_run_leaves_the_folders_record_alone(command, tmp_path):
    same = [*SMALL, "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "hydra.run.dir=here"]
    assert command("train", *same).returncode == 0
    record = (tmp_path / "here" / "result.json").read_bytes()
    refused = command("train", *same, "optimizer.lr=0.5")
    assert refused.returncode == 2
    assert "holds a run of another config" in refused.stderr
    assert (tmp_path / "here" / "result.json").read_bytes() == record


def test_starting_anew_keeps_the_old_run_aside(command, tmp_path):
    quick = [*SMALL, "trainer.max_epochs=1", "name=t", "trainer.enable_progress_bar=false"]
    assert command("train", *quick).returncode == 0
    assert "done already" in command("train", *quick).stdout
    assert "done already" not in command("train", *quick, "resume=false").stdout
    (folder,) = [path for path in (tmp_path / "outputs" / "t").iterdir() if path.is_dir()]
    kept = json.loads((folder / "superseded" / "1" / "result.json").read_text())
    assert kept["metrics"] == json.loads((folder / "result.json").read_text())["metrics"]
