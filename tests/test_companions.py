"""Jobs that differ in the evaluation alone are one training, and their records are what each alone would have given."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer

from binlit.config.training import training_of
from binlit.results.record import read_runs
from binlit.stopping import Stopped
from binlit.task import Learning
from in_process import composed

SMALL = ["model=mlp", "dataset.batch_size=256", "logger=none", "trainer.max_epochs=3", "threads=1"]
ROWS = ["estimator=rloo", "binary.layer=1", "binary.mode=stochastic,deterministic"]
TIMES = ("seconds", "train_seconds")


def outcomes(folder: Path) -> dict[str, dict[str, Any]]:
    """{fingerprint: what the run found}, without times."""
    found = {}
    for _, record in read_runs(folder):
        curve = [{name: value for name, value in entry.items() if name not in TIMES} for entry in record["curve"]]
        found[record["fingerprint"]] = record["metrics"] | {"curve": curve, "best": record["best_epoch"]}
    return found


def checkpoints(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """{name of the run's folder: its checkpoint}."""
    paths = folder.glob(f"*/checkpoints/{name}.ckpt")
    return {path.parents[1].name: torch.load(path, weights_only=True) for path in paths}


@pytest.fixture
def fits(monkeypatch) -> list[Any]:
    """One entry for each training."""
    count, fit = [], Trainer.fit
    monkeypatch.setattr(Trainer, "fit", lambda self, *args, **named: [count.append(1), fit(self, *args, **named)][1])
    return count


def each(rows: list[str]) -> Iterator[list[str]]:
    """The words of every single run."""
    choices = [[f"{row.partition('=')[0]}={value}" for value in row.partition("=")[2].split(",")] for row in rows]
    for words in itertools.product(*choices):
        yield list(words)


def assert_same(one: Path, other: Path) -> None:
    """Records, and checkpoints but for times and the experiment's name."""
    assert outcomes(one) == outcomes(other)
    for name in ("best", "last"):
        left, right = checkpoints(one, name), checkpoints(other, name)
        assert left.keys() == right.keys()
        for run, saved in left.items():
            for key, value in right[run]["state_dict"].items():
                assert torch.equal(saved["state_dict"][key], value)
            assert saved["config"] | {"name": ""} == right[run]["config"] | {"name": ""}
            assert len(saved["history"]) == len(right[run]["history"])


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        ["estimator=reinforce", "binary.layer=1", "binary.eval=auto,mean"],
        ["estimator=st", "binary.layer=1", "binary.eval=sample,threshold", "callbacks.best.monitor=val/acc"],
        ["estimator=detached", "binary.layer=1", "binary.eval=sample,threshold", "callbacks.best=null"],
        ["binary=weights", "weight.mode=stochastic", "weight.eval=threshold,latent,sample"],
    ],
    ids=["modes", "mean", "by accuracy", "last epoch", "weights"],
)
def test_one_training_gives_the_records_of_each_by_itself(command, tmp_path, fits, rows):
    done = command("train", "-m", *SMALL, *rows, "name=together")
    assert done.returncode == 0, done.stderr
    assert len(fits) == 1
    singles = list(each(rows))
    for row in singles:
        assert command("train", *SMALL, *row, "name=alone").returncode == 0
    assert len(fits) == 1 + len(singles)
    assert len(outcomes(tmp_path / "outputs/together")) == len(singles)
    assert_same(tmp_path / "outputs/together", tmp_path / "outputs/alone")


def test_a_sweep_that_was_cut_off_ends_as_an_unbroken_one(command, tmp_path, fits, monkeypatch):
    assert command("train", "-m", *SMALL, *ROWS, "name=whole").returncode == 0

    def stop(self: Any) -> None:
        if self.current_epoch == 2:
            raise Stopped(signal.SIGTERM)
        begin(self)

    begin = Learning.on_train_epoch_start
    with monkeypatch.context() as broken:
        broken.setattr(Learning, "on_train_epoch_start", stop)
        assert command("train", "-m", *SMALL, *ROWS, "name=broken").returncode == 143
    fits.clear()
    done = command("train", "-m", *SMALL, *ROWS, "name=broken")
    assert done.returncode == 0, done.stderr
    assert len(fits) == 1
    assert_same(tmp_path / "outputs/broken", tmp_path / "outputs/whole")


def test_a_companion_that_comes_later_or_has_epochs_of_its_own_is_trained_by_itself(command, tmp_path, fits):
    assert command("train", "-m", *SMALL, *ROWS, "name=whole").returncode == 0
    fits.clear()
    assert command("train", *SMALL, *next(each(ROWS)), "name=late").returncode == 0
    done = command("train", "-m", *SMALL, *ROWS, "name=late")
    assert "1 done already, 1 to run" in done.stdout
    assert len(fits) == 2
    assert outcomes(tmp_path / "outputs/late") == outcomes(tmp_path / "outputs/whole")
    again = command("train", "-m", *SMALL, *ROWS, "name=late", "resume=false")
    assert len(fits) == 3
    assert "1 of them are tested in the training of another" in again.stdout
    assert outcomes(tmp_path / "outputs/late") == outcomes(tmp_path / "outputs/whole")
    superseded = list((tmp_path / "outputs/late").glob("*/superseded/1/result.json"))
    assert len(superseded) == 2


def test_a_training_that_fails_leaves_the_others_to_themselves(command, tmp_path, monkeypatch):
    """Only the stochastic row diverges; the deterministic one is then trained alone, and is well."""
    judge, seen = Learning.refuse_divergence, []

    def first_fails(self: Any, part: str, loss: torch.Tensor) -> None:
        seen.append(part)
        judge(self, part, loss.new_tensor(float("nan")) if len(seen) == 1 else loss)

    monkeypatch.setattr(Learning, "refuse_divergence", first_fails)
    done = command("train", "-m", *SMALL, *ROWS, "name=t")
    assert done.returncode == 1
    by_mode = {record["row"]["mode"]: record for _, record in read_runs(tmp_path / "outputs/t")}
    assert by_mode["stochastic"]["status"] == "failed"
    assert by_mode["deterministic"]["status"] == "ok"
    assert "trained_with" not in by_mode["deterministic"]


def test_a_companions_checkpoint_is_tested_and_gone_on_from_like_any_other(command, tmp_path):
    assert command("train", "-m", *SMALL, *ROWS, "name=t").returncode == 0
    (folder,) = (tmp_path / "outputs/t").glob("*deterministic*")
    record = json.loads((folder / "result.json").read_text())
    assert record["trained_with"] != record["fingerprint"]
    tested = command("evaluate", f"checkpoint={folder}/checkpoints/best.ckpt")
    assert f"{100 * record['metrics']['test/acc']:.2f} %" in tested.stdout
    longer = [
        *SMALL[:-2],
        "threads=1",
        "trainer.max_epochs=4",
        "estimator=rloo",
        "binary.layer=1",
        "binary.mode=deterministic",
    ]
    done = command("train", *longer, "name=longer", f"ckpt_path={folder}/checkpoints/last.ckpt")
    assert done.returncode == 0, done.stderr
    assert command("train", *longer, "name=at_once").returncode == 0
    assert (
        next(iter(outcomes(tmp_path / "outputs/longer").values()))["curve"]
        == (next(iter(outcomes(tmp_path / "outputs/at_once").values()))["curve"])
    )


STOP = {"stop": {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": "val/loss"}}


@pytest.mark.parametrize(
    ("group", "changed", "shared"),
    [
        ("binary", {}, True),
        ("estimator", composed(["estimator=st"])["estimator"], False),  # in training too it draws or thresholds
        ("trainer", {"fast_dev_run": True}, False),
        ("trainer", {"val_check_interval": 0.5}, False),
        ("callbacks", STOP, False),
    ],
)
def test_what_is_one_training(group, changed, shared):
    configs = [composed([*SMALL, "estimator=rloo", f"binary.mode={mode}"]) for mode in ("stochastic", "deterministic")]
    one, other = (training_of({**cfg, group: cfg[group] | changed}) for cfg in configs)
    assert (one is not None and one == other) == shared


def test_a_run_from_other_weights_is_no_companion():
    assert training_of({**composed(SMALL), "ckpt_path": "here.ckpt"}) is None
