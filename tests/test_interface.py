"""From Python: `binlit.run` and `binlit.sweep` do what the commands do, and leave the process as it was."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import binlit
from binlit.results.record import read_manifest
from binlit.task import Learning
from binlit.task.learning import DivergenceError

QUICK = ["model=mlp", "logger=none", "dataset.batch_size=256", "threads=1", "trainer.max_epochs=1"]
TIMES = ("duration", "samples_per_s", "finished", "curve")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in TIMES}


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# -- run ---------------------------------------------------------------------------------------------------------------
def test_a_run_leaves_what_the_command_leaves_and_the_command_goes_on_with_it(tmp_path, command, capsys):
    ours = binlit.run(["trainer.enable_progress_bar=false", *QUICK], quiet=True)
    assert capsys.readouterr().out == ""
    assert ours.folder.parent == tmp_path / "outputs" / "digits"
    again = command("train", "trainer.enable_progress_bar=false", *QUICK)
    assert "done already" in again.stdout
    (tmp_path / "outputs").rename(tmp_path / "ours")
    assert command("train", "trainer.enable_progress_bar=false", *QUICK).returncode == 0
    theirs = tmp_path / "outputs" / "digits" / ours.folder.name
    mine = tmp_path / "ours" / "digits" / ours.folder.name
    assert files(mine) == files(theirs)
    for name in (".hydra/config.yaml", ".hydra/overrides.yaml"):
        assert (mine / name).read_text() == (theirs / name).read_text()
    record = json.loads((theirs / "result.json").read_text())
    del record["sha256"]
    assert timeless(ours) == timeless(record)
    done = binlit.run(["trainer.enable_progress_bar=false", *QUICK])
    assert dict(done) == record
    assert "done already" in capsys.readouterr().out


SLIPS = [
    ["binary.layr=2"],
    ["+experiment=nmist"],
    ["binary.mode=foo"],
    ["binary.layer=9"],
    ["seed=1,2"],
    ["seed=1", "seed=2"],
    ["ckpt_path=nowhere.ckpt"],
    ["hydra.run.dir="],
    ["--foo"],
    ["optimizer.lr='"],
    ["output_dir=/proc/binlit"],
]


@pytest.mark.parametrize("words", SLIPS, ids=lambda words: words[-1])
def test_a_wrong_word_is_an_exception_with_the_line_of_the_command(words, command):
    said = command("train", *words)
    assert said.returncode == 2
    with pytest.raises(binlit.ConfigError) as refused:
        binlit.run(words)
    assert said.stderr == f"binlit: {refused.value}\n"


@pytest.mark.parametrize("words", [["binary.layer=1,9"], ["seed=1,x"], ["estimtor=st"]], ids=lambda words: words[-1])
def test_a_wrong_job_is_an_exception_with_the_lines_of_the_command(words, command):
    said = command("train", "-m", *words)
    with pytest.raises(binlit.ConfigError) as refused:
        binlit.sweep(words)
    assert said.stderr == f"binlit: {refused.value}\n"
    assert not Path("outputs").exists()


def test_what_only_a_command_line_has_is_refused():
    for words, said in (
        (["-m", "seed=1"], r"-m is for several runs; use binlit\.sweep"),
        (["+experiment=demo"], r"demo is an experiment of several runs; use binlit\.sweep"),
        (["--help"], "--help is a flag of the command line"),
        (["--cfg", "job"], "--cfg is a flag of the command line"),
    ):
        with pytest.raises(binlit.ConfigError, match=said):
            binlit.run(words)
    with pytest.raises(binlit.ConfigError, match="hydra/sweeper is for the command line"):
        binlit.sweep(["hydra/sweeper=basic", "seed=1,2"])
    for words in ("seed=1", ["seed=1", 2]):
        with pytest.raises(TypeError, match="settings are a list of texts"):
            binlit.run(words)  # type: ignore[arg-type]


def test_the_process_is_afterwards_what_it_was():
    def state() -> tuple[Any, ...]:
        root = logging.getLogger()
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        hydra = GlobalHydra.instance().is_initialized(), HydraConfig.initialized()
        chance = torch.get_rng_state().tolist()
        return handlers, hydra, root.level, list(root.handlers), chance, torch.get_num_threads(), Path.cwd(), sys.argv

    torch.manual_seed(7)
    before = state()
    binlit.run(["threads=2", *(word for word in QUICK if word != "threads=1")], quiet=True)
    binlit.sweep([*QUICK, "seed=0,1"])
    assert state() == before


def test_a_run_in_a_thread_is_the_same_run():
    found: list[binlit.Record] = []
    thread = threading.Thread(target=lambda: found.append(binlit.run([*QUICK, "name=thread"], quiet=True)))
    thread.start()
    thread.join()
    assert found[0]["metrics"] == binlit.run(QUICK, quiet=True)["metrics"]


def test_an_interrupted_run_raises_and_the_same_call_goes_on(monkeypatch, capsys):
    begin, handler = Learning.on_train_epoch_start, signal.getsignal(signal.SIGINT)

    def told(task: Learning) -> None:
        begin(task)
        if task.current_epoch == 1:
            signal.raise_signal(signal.SIGINT)

    words = [*QUICK[:-1], "trainer.max_epochs=2"]
    with monkeypatch.context() as patched:
        patched.setattr(Learning, "on_train_epoch_start", told)
        with pytest.raises(KeyboardInterrupt):
            binlit.run(words, quiet=True)
    assert signal.getsignal(signal.SIGINT) is handler
    assert "stopped by SIGINT in epoch 2 of 2" in capsys.readouterr().err
    whole = binlit.run([*words, "name=whole"], quiet=True)
    assert binlit.run(words, quiet=True)["metrics"] == whole["metrics"]


def test_a_run_that_diverges_raises_and_its_record_says_so(monkeypatch):
    monkeypatch.setattr(Learning, "on_train_epoch_start", _diverged)
    with pytest.raises(DivergenceError, match="diverged in epoch 1"):
        binlit.run(QUICK, quiet=True)
    table = binlit.records("outputs")
    assert table[["status", "error"]].values.tolist() == [["failed", "diverged in epoch 1: test"]]


def _diverged(task: Learning) -> None:
    raise DivergenceError("diverged in epoch 1: test")


# -- sweep -------------------------------------------------------------------------------------------------------------
def test_a_sweep_has_the_jobs_of_the_command_and_skips_what_is_done(tmp_path, command, capsys):
    words = [*QUICK, "name=table", "binary.layer=null,1", "estimator=st,st_clipped"]
    assert "1 the same as others, 0 done already" in command("train", "-m", *words).stdout
    theirs = read_manifest(tmp_path / "outputs" / "table")
    found = binlit.sweep(words)
    assert "4 jobs: 1 the same as others, 3 done already, 0 to run" in capsys.readouterr().out
    assert {record["fingerprint"] for record in found} == {job["fingerprint"] for job in theirs}
    assert len(found) == 3
    shutil.rmtree(found[2].folder)
    again = binlit.sweep(words)
    assert "2 done already, 1 to run" in capsys.readouterr().out
    assert again[2]["metrics"] == found[2]["metrics"]
    assert [timeless(record) for record in again] == [timeless(record) for record in found]
    assert read_manifest(tmp_path / "outputs" / "table") == theirs


def test_a_failed_job_leaves_a_record_and_the_others_are_run(monkeypatch, capsys):
    begin = Learning.on_train_epoch_start
    monkeypatch.setattr(
        Learning, "on_train_epoch_start", lambda task: _diverged(task) if task.seed == 1 else begin(task)
    )
    found = binlit.sweep([*QUICK, "seed=0,1,2"])
    assert [(record["seed"], record["status"]) for record in found] == [(0, "ok"), (1, "failed"), (2, "ok")]
    assert "1 of 3 jobs failed" in capsys.readouterr().err


# -- what is shown -----------------------------------------------------------------------------------------------------
def test_dir_shows_all_names_and_the_import_is_light():
    names = (Path(binlit.__file__).with_suffix(".pyi")).read_text()
    code = (
        "import sys, binlit; print(*dir(binlit)); "
        "print(any(name in sys.modules for name in ('torch', 'hydra', 'pandas', 'numpy')))"
    )
    shown, heavy = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert set(shown.split()) >= {"run", "sweep", "load", "records", "binarize", "Step", "ConfigError", "runtime"}
    assert all(f" as {name}\n" in names for name in shown.split() if not name.startswith("_"))
    assert heavy == "False"
