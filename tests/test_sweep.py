"""Sweeps: no row run twice, holes shown, and a sweep that was killed ends with the same table as an unbroken one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from binlit.report import write_report
from binlit.results.record import read_manifest, read_records

SMALL = ["model=mlp", "dataset.batch_size=256", "logger=none"]


def records(folder: Path) -> dict[str, dict]:
    return {record["fingerprint"]: record for record in read_records(folder)}


def test_rows_without_effect_run_once_and_nothing_runs_twice(cli, tmp_path):
    sweep = [
        "-m",
        *SMALL,
        "trainer.max_epochs=1",
        "name=t",
        "binary.layer=null,1",
        "binary.mode=stochastic,deterministic",
    ]
    first = cli("train", *sweep, "estimator=st,detached")
    assert first.returncode == 0, first.stderr
    assert "8 jobs: 3 the same as others, 0 done already, 5 to run" in first.stdout
    found = records(tmp_path / "outputs" / "t")
    assert len(found) == len(read_manifest(tmp_path / "outputs" / "t")) == 5
    finished = {name: record["finished"] for name, record in found.items()}

    again = cli("train", *sweep, "estimator=st,detached,st_identity")
    assert "5 done already, 2 to run" in again.stdout
    for name, record in records(tmp_path / "outputs" / "t").items():
        assert finished.get(name, record["finished"]) == record["finished"]
    shown = cli("report", "outputs/t")
    assert shown.returncode == 0
    assert "st_identity" in shown.stdout


def test_a_failed_job_leaves_a_record_and_the_others_go_on(cli, tmp_path):
    sweep = ["-m", *SMALL, "trainer.max_epochs=1", "name=t", "dataset=mnist,digits", f"data_dir={tmp_path}/nowhere"]
    done = cli("train", *sweep, "dataset.download=false")
    assert done.returncode == 2  # digits has no setting `download`: refused before anything ran
    done = cli("train", *sweep, http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "1 of 2 jobs failed" in done.stderr
    assert "Traceback" not in done.stderr
    by_status = {record["status"]: record for record in read_records(tmp_path / "outputs" / "t")}
    assert set(by_status) == {"ok", "failed"}
    assert "dataset=digits works offline" in by_status["failed"]["error"]
    assert "failed" in cli("report", "outputs/t").stdout


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_killed_three_times_ends_as_an_unbroken_one(tmp_path, launcher):
    """SIGKILL to the whole sweep at random moments while it trains; then the table is the same, to the bit."""
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    command = [sys.executable, "-m", "binlit.train", "-m", *SMALL, "name=t"]
    command += ["binary.layer=null,1", "seed=0,1"]
    command += ["estimator=st,rloo", "optimizer.lr=0.02", f"hydra/launcher={launcher}", "trainer.max_epochs=25"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(where: Path) -> subprocess.Popen:
        where.mkdir(exist_ok=True)
        with (where / "log").open("a") as log:
            return subprocess.Popen(command, cwd=where, env=environment, start_new_session=True, stdout=log, stderr=log)

    assert start(tmp_path / "whole").wait(280) == 0
    chance = random.Random(launcher)
    killed = 0
    for _ in range(3):
        job = start(tmp_path / "broken")
        _wait_until_training(tmp_path / "broken", job)
        time.sleep(chance.uniform(0, 1.5))
        killed += job.poll() is None
        os.killpg(job.pid, signal.SIGKILL)  # the workers as well
        job.wait(60)
    assert killed == 3  # each time there was something left to kill
    assert start(tmp_path / "broken").wait(280) == 0

    tables = []
    for name in ("whole", "broken"):
        folder = tmp_path / name / "outputs" / "t"
        write_report(read_records(folder), read_manifest(folder), tmp_path / name)
        tables.append((tmp_path / name / "table.csv").read_bytes())
    assert tables[0] == tables[1]
    whole, broken = (records(tmp_path / name / "outputs" / "t") for name in ("whole", "broken"))
    assert set(whole) == set(broken)
    for name, record in whole.items():
        assert record["metrics"] == broken[name]["metrics"]
        assert [e["train/loss"] for e in record["curve"]] == [e["train/loss"] for e in broken[name]["curve"]]


def _wait_until_training(folder: Path, job: subprocess.Popen) -> None:
    """Until the sweep has left a checkpoint that was not there before, or has ended."""
    before = {path: path.stat().st_mtime_ns for path in folder.glob("outputs/t/*/checkpoints/*.ckpt")}
    until = time.monotonic() + 120
    while time.monotonic() < until and job.poll() is None:
        now = {path: path.stat().st_mtime_ns for path in folder.glob("outputs/t/*/checkpoints/*.ckpt")}
        if any(before.get(path) != stamp for path, stamp in now.items()):
            return
        time.sleep(0.05)


def test_a_refused_run_leaves_the_folders_record_alone(cli, tmp_path):
    same = [*SMALL, "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "hydra.run.dir=here"]
    assert cli("train", *same).returncode == 0
    record = (tmp_path / "here" / "result.json").read_bytes()
    refused = cli("train", *same, "optimizer.lr=0.5")
    assert refused.returncode == 2
    assert "holds a run of another config" in refused.stderr
    assert (tmp_path / "here" / "result.json").read_bytes() == record


def test_starting_anew_keeps_the_old_run_aside(cli, tmp_path):
    quick = [*SMALL, "trainer.max_epochs=1", "name=t", "trainer.enable_progress_bar=false"]
    assert cli("train", *quick).returncode == 0
    assert "done already" in cli("train", *quick).stdout
    assert "done already" not in cli("train", *quick, "resume=false").stdout
    (folder,) = [path for path in (tmp_path / "outputs" / "t").iterdir() if path.is_dir()]
    kept = json.loads((folder / "superseded" / "1" / "result.json").read_text())
    assert kept["metrics"] == json.loads((folder / "result.json").read_text())["metrics"]
