"""How a run ends: told to by a signal, with its sweep, because it diverged, or refused before its first step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from binlit.config import check
from binlit.errors import ConfigError
from binlit.paths import config_dir
from binlit.results.pages.main_table import MainTable
from binlit.results.record import read_manifest, read_records
from binlit.stopping import Stopped, stopped_by_signals
from binlit.task import Learning
from binlit.task.learning import LARGEST_LOSS, DivergenceError
from binlit.train import main, train

QUICK = ["model=mlp", "logger=none", "trainer.enable_progress_bar=false", "dataset.batch_size=256"]
TIMES = ("seconds", "train_seconds")


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = check(compose("config", [*QUICK, "threads=1", *overrides]))
    return train(cfg, folder)


# -- signals -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def handlers() -> Iterator[None]:
    """Puts the handlers of the test process back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_says_where_it_stopped_and_the_run_goes_on(tmp_path, monkeypatch, capsys, handlers, number, status):
    unbroken = run(tmp_path / "whole", "trainer.max_epochs=4")
    begin = Learning.on_train_epoch_start

    def told(task: Learning) -> None:
        begin(task)
        if task.current_epoch == 2:
            signal.raise_signal(number)

    with monkeypatch.context() as patched:
        patched.setattr(Learning, "on_train_epoch_start", told)
        with pytest.raises(SystemExit) as ended, stopped_by_signals():
            run(tmp_path / "run", "trainer.max_epochs=4")
    assert ended.value.code == status
    name = signal.Signals(number).name
    assert f"stopped by {name} in epoch 3 of 4; the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "run" / "result.json").exists()
    again = run(tmp_path / "run", "trainer.max_epochs=4")
    assert again["metrics"] == unbroken["metrics"]
    for entry, other in zip(again["curve"], unbroken["curve"], strict=True):
        assert {name: x for name, x in entry.items() if name not in TIMES} == {
            name: x for name, x in other.items() if name not in TIMES
        }


def test_lightnings_own_way_to_stop_has_the_status_too(tmp_path, monkeypatch, handlers):
    """Where somebody else handles SIGTERM, Lightning notes it and ends after the batch, with status 0."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    begin = Learning.on_train_epoch_start

    def told(task: Learning) -> None:
        begin(task)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Learning, "on_train_epoch_start", told)
    with pytest.raises(Stopped) as ended, stopped_by_signals():
        run(tmp_path, "trainer.max_epochs=2", "dataset.batch_size=64")
    assert ended.value.code == 143
    assert ended.value.where == " in epoch 1 of 2"


def test_a_signal_that_is_ignored_or_handled_is_left_alone(handlers):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stopped_by_signals():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


TWICE = """
import os, signal, sys, time
from binlit.stopping import stopped_by_signals
with stopped_by_signals():
    try:
        signal.raise_signal(signal.SIGTERM)
    except SystemExit:
        signal.raise_signal(signal.SIGTERM)  # as `timeout` does: to the process, and to its group
        print("once", flush=True)
        time.sleep(float(sys.argv[1]))
        signal.raise_signal(signal.SIGTERM)
        print("twice", flush=True)
"""


def test_a_second_signal_ends_at_once():
    done = subprocess.run([sys.executable, "-c", TWICE, "0.6"], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGTERM
    assert done.stdout == "once\n"
    done = subprocess.run([sys.executable, "-c", TWICE, "0"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "once\ntwice\n"


def _sweep(tmp_path: Path, launcher: str) -> tuple[subprocess.Popen, list[int]]:
    """A sweep of three long jobs that has begun to train, and its workers' process numbers."""
    command = [sys.executable, "-m", "binlit.train", "-m", *QUICK, "name=t", "seed=0,1,2", "trainer.max_epochs=100000"]
    command += [f"hydra/launcher={launcher}"] + (["hydra.launcher.n_jobs=2"] if launcher == "joblib" else [])
    with (tmp_path / "log").open("w") as log:
        job = subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    until = time.monotonic() + 120
    while not list(tmp_path.glob("outputs/t/*/checkpoints/last.ckpt")):
        assert job.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < until
        time.sleep(0.05)
    workers = [int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent(path) == job.pid]
    return job, [number for number in workers if b"popen_loky" in Path(f"/proc/{number}/cmdline").read_bytes()]


def _parent(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _alive(number: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize(
    ("launcher", "number", "status"),
    [
        ("basic", signal.SIGTERM, 143),
        ("joblib", signal.SIGINT, 130),
        ("joblib", signal.SIGTERM, 143),
        ("joblib", signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_sweep_that_is_told_to_stop_leaves_no_process_and_no_record(tmp_path, launcher, number, status):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    job, workers = _sweep(tmp_path, launcher)
    assert bool(workers) == (launcher == "joblib")
    if number == signal.SIGINT:  # Ctrl-C reaches the workers as well
        os.killpg(job.pid, number)
    else:
        os.kill(job.pid, number)
    assert job.wait(60) == status
    until = time.monotonic() + 30
    while any(map(_alive, workers)):
        assert time.monotonic() < until, "a worker outlives its sweep"
        time.sleep(0.05)
    assert not list(tmp_path.glob("outputs/t/*/result.json"))
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    if number != signal.SIGKILL:
        assert f"stopped by {signal.Signals(number).name}" in log
        assert "with 3 of 3 jobs to do; the same command goes on" in log
        assert ("in epoch " in log) == (launcher == "basic")


@pytest.mark.parametrize(("code", "where"), [("torch.save", " in epoch 1 of 3"), ("binlit.train.check", "")])
def test_a_signal_is_told_though_other_code_fails_of_it(tmp_path, handlers, monkeypatch, capsys, code, where):
    """torch's writer of files and OmegaConf raise errors of their own where a signal ends them in the middle."""

    def interrupted(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except BaseException:
            raise RuntimeError("unexpected position")  # noqa: B904

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(code, interrupted)
    monkeypatch.setattr(sys, "argv", ["binlit", *QUICK, "trainer.max_epochs=3", "hydra.run.dir=stopped"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == f"binlit: stopped by SIGINT{where}; the same command goes on\n"
    assert not Path("stopped/result.json").exists()


# -- divergence --------------------------------------------------------------------------------------------------------
# An optimizer of one's own, whose rates have no bounds.
UNBOUNDED = [
    "optimizer=sgd",
    "optimizer.name=rmsprop",
    "optimizer._target_=torch.optim.RMSprop",
    "~optimizer.nesterov",
    "~optimizer.keys",
]


@pytest.mark.parametrize("rate", ["1e9", "1e30"])
def test_a_run_that_diverges_is_stopped_then(tmp_path, rate):
    ruined = [*UNBOUNDED, f"optimizer.lr={rate}", "trainer.max_epochs=5", "binary.layer=null", "model.norm=none"]
    with pytest.raises(DivergenceError, match=r"^diverged in epoch \d: .* (loss|is not finite)"):
        run(tmp_path, *ruined)
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists() or rate == "1e9"


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 1e33, 2 * LARGEST_LOSS])
def test_where_the_line_is_drawn(tmp_path, monkeypatch, loss):
    losses = Learning.losses
    monkeypatch.setattr("binlit.task.Classification.losses", lambda *args: losses(*args) * 0 + loss)
    with pytest.raises(DivergenceError, match=r"diverged in epoch 1: \w+ loss (nan|inf|1e\+33|2e\+09)"):
        run(tmp_path, "trainer.max_epochs=2")


def test_weights_that_are_not_finite_do_not_hide_behind_bits(tmp_path, monkeypatch):
    """A bit of NaN is 0, so that the loss of a net with NaN weights below a binary site looks like any other."""
    end = Learning.on_validation_epoch_end

    def spoil(task: Learning) -> None:
        end(task)
        with torch.no_grad():
            task.net.get_parameter("features.fc1.weight").fill_(torch.nan)

    monkeypatch.setattr(Learning, "on_validation_epoch_end", spoil)
    with pytest.raises(DivergenceError, match=r"diverged in epoch 1: features\.fc1\.weight is not finite"):
        run(tmp_path, "trainer.max_epochs=2")


def test_a_single_run_that_diverges_ends_with_a_line_and_a_failed_record(cli, tmp_path):
    done = cli("train", *QUICK, *UNBOUNDED, "optimizer.lr=1e30", "binary.layer=null", "hydra.run.dir=here")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    record = json.loads((tmp_path / "here" / "result.json").read_text())
    assert record["status"] == "failed"
    assert record["error"].startswith("diverged in epoch 1: ")
    assert record["error"] in done.stderr


# -- sweeps: what is noted, and shown ---------------------------------------------------------------------------------
def test_each_folder_has_the_manifest_of_its_own_jobs_and_lines_say_what_varies(cli, tmp_path):
    swept = ["name=a,b", *UNBOUNDED, "optimizer.lr=1e30,0.1", "binary.levels=pm1", "trainer.max_epochs=1"]
    quick = [word for word in QUICK if word != "logger=none"]
    done = cli("train", "-m", *quick, *swept, "logger=default", "binary.layer=null", "binary.threshold=0.1")
    assert done.returncode == 1
    assert "2 of 4 jobs failed" in done.stderr
    assert "4 to run, into outputs/a and outputs/b" in done.stdout
    for name in ("a", "b"):
        folder = tmp_path / "outputs" / name
        manifest, records = read_manifest(folder), read_records(folder)
        assert len(manifest) == 2
        assert {line["fingerprint"] for line in manifest} == {record["fingerprint"] for record in records}
        assert sorted(record["status"] for record in records) == ["failed", "ok"]
        MainTable(records, name, expected=manifest).write(tmp_path / name)
        table = (tmp_path / name / "table.md").read_text()
        assert "missing" not in table
        assert "failed: none none none none, seed 0: diverged in epoch 1: " in table, table
    lines = [line for line in done.stdout.splitlines() if line.startswith("layer ")]
    assert len(lines) == 2
    for line in lines:
        assert "layer none, optimizer.lr=0.1, seed 0" in line

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (finished,) = (path.parent for path in tmp_path.glob("outputs/a/*/result.json") if '"ok"' in path.read_text())
    events = EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    assert b"binary.threshold" not in b"".join(events.PluginTagToContent("hparams").values())
    assert b"optimizer.lr" in b"".join(events.PluginTagToContent("hparams").values())


# -- refused before the first step -------------------------------------------------------------------------------------
def test_an_example_alone_in_a_batch_is_refused_where_the_net_needs_two(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset\.batch_size=16 leaves one of 1297 .* write dataset\.batch_size=17"):
        run(tmp_path / "a", "dataset.batch_size=16", "model.norm=all", "trainer.max_epochs=1")
    with pytest.raises(ConfigError, match=r"dataset\.batch_size=1 leaves one"):
        run(tmp_path / "b", "dataset.batch_size=1", "model.norm=all", "trainer.max_epochs=1")
    assert not list(tmp_path.glob("*/checkpoints"))
    fits = ["dataset.batch_size=16", "trainer.max_epochs=1"]
    assert run(tmp_path / "c", *fits)["curve"][0]["examples"] == 1297  # no BatchNorm
    assert run(tmp_path / "d", *fits, "model.norm=all", "trainer.limit_train_batches=5")["curve"][0]["examples"] == 80


def test_a_checkpoint_that_is_not_there_leaves_no_record(cli, tmp_path):
    done = cli("train", *QUICK, "ckpt_path=nowhere.ckpt", "hydra.run.dir=here")
    assert done.returncode == 2
    assert done.stderr.startswith("binlit: ckpt_path=nowhere.ckpt is no file; give a run's checkpoints/last.ckpt")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "here" / "result.json").exists()
