"""Where a run starts: what the config asks for and a checkpoint contradicts is applied, or refused in a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from binlit.config import check, fingerprint
from binlit.errors import ConfigError
from binlit.evaluate import evaluate
from binlit.paths import config_dir
from binlit.results.record import new_record
from binlit.running.build import build_task, build_trainer, set_threads
from binlit.running.checkpoint import load_weights, read_checkpoint
from binlit.train import train

QUICK = ["model=mlp", "logger=none", "trainer.enable_progress_bar=false", "dataset.batch_size=256", "threads=1"]
COSINE = ["scheduler=cosine", "trainer.max_epochs=2"]


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return check(compose("config", [*QUICK, *overrides]))


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    return train(composed(*overrides), folder)


def rates(content: dict[str, Any]) -> list[float]:
    return [entry["lr"] for entry in content["curve"]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """last.ckpt of a run of two epochs under a cosine, with best.ckpt beside it."""
    folder = tmp_path_factory.mktemp("source")
    run(folder, *COSINE)
    return folder / "checkpoints" / "last.ckpt"


def changed(source: Path, folder: Path, **content: Any) -> Path:
    """A copy of the checkpoint with other content, best.ckpt beside it; None takes a key away."""
    saved = torch.load(source, weights_only=True) | content
    folder.mkdir(exist_ok=True)
    torch.save({key: value for key, value in saved.items() if value is not None}, folder / "last.ckpt")
    (folder / "best.ckpt").write_bytes(source.with_name("best.ckpt").read_bytes())
    return folder / "last.ckpt"


@pytest.mark.parametrize("scheduler", ["cosine", "decay"])
def test_a_run_made_longer_has_the_rates_of_the_longer_schedule(tmp_path, scheduler, capsys):
    short = [f"scheduler={scheduler}", "trainer.max_epochs=2"]
    long = [f"scheduler={scheduler}", "trainer.max_epochs=4"]
    first = run(tmp_path / "two", *short)
    whole = run(tmp_path / "four", *long)
    last = tmp_path / "two" / "checkpoints" / "last.ckpt"
    longer = run(tmp_path / "longer", *long, f"ckpt_path={last}")
    assert rates(longer) == [*rates(first), *rates(whole)[2:]]
    assert rates(longer)[3] > 0
    (name, value), *_ = longer["started_from"]["differing"].items()
    assert name.startswith("scheduler.")
    assert value == composed(*short)["scheduler"][name.removeprefix("scheduler.")]
    assert f"goes on from {last}, a run with {name}=" in capsys.readouterr().err
    own = run(tmp_path / "two", *long)  # in its own folder
    assert rates(own) == rates(longer)
    assert own["metrics"] == longer["metrics"]


def test_a_run_of_the_same_length_says_what_it_goes_on_from(tmp_path, source):
    again = run(tmp_path, *COSINE, f"ckpt_path={source}")
    assert len(again["curve"]) == 2
    assert again["started_from"]["taken"] == "all"
    assert again["started_from"]["differing"] == {}
    assert again["started_from"]["fingerprint"] == fingerprint(composed(*COSINE))


def test_fewer_epochs_than_there_are_is_refused(tmp_path, source):
    for where in (tmp_path, source.parents[1]):  # elsewhere, and in the run's own folder
        with pytest.raises(ConfigError, match=r"trainer\.max_epochs=1 is fewer than the 2 epochs") as refused:
            run(where, "scheduler=cosine", "trainer.max_epochs=1", f"ckpt_path={source}")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "setting",
    [
        "optimizer.lr=0.01",
        "optimizer=sgd",
        "optimizer.weight_decay=0.1",
        "estimator=nvil",
        "binary.layer=null",
        "binary.weights=all",
        "binary.levels=pm1",
        "anneal=exponential",
        "scheduler=step",
        "trainer.gradient_clip_val=0.1",
        "seed=3",
        "dataset.batch_size=128",
    ],
)
def test_under_another_config_only_the_weights_are_taken(tmp_path, source, setting, capsys):
    content = run(tmp_path, "scheduler=cosine", "trainer.max_epochs=1", f"ckpt_path={source}", setting)
    assert len(content["curve"]) == 1
    assert content["curve"][0]["lr"] == composed(*COSINE, setting)["optimizer"]["lr"]
    assert content["started_from"]["taken"] == "weights"
    assert content["started_from"]["differing"]
    said = [line for line in capsys.readouterr().err.splitlines() if "starts from the weights of" in line]
    assert len(said) == 1
    assert setting.partition("=")[0].removeprefix("binary.") in said[0]


def test_the_weights_are_those_of_the_checkpoint(tmp_path, source):
    """At a rate of next to nothing they stay what they were, whatever is binary."""
    before = read_checkpoint(source)["state_dict"]
    run(tmp_path / "real", "optimizer.lr=1e-12", "trainer.max_epochs=1", f"ckpt_path={source}", "binary.layer=null")
    real = read_checkpoint(tmp_path / "real" / "checkpoints" / "last.ckpt")["state_dict"]
    assert torch.allclose(real["net.features.fc1.weight"], before["net.features.fc1.weight"], atol=1e-6)
    back = f"ckpt_path={tmp_path}/real/checkpoints/best.ckpt"
    run(tmp_path / "bits", "optimizer.lr=1e-12", "trainer.max_epochs=1", "binary.weights=1", "weight.clip=none", back)
    bits = read_checkpoint(tmp_path / "bits" / "checkpoints" / "last.ckpt")["state_dict"]
    latent = bits["net.features.fc1.parametrizations.weight.original"]
    assert torch.allclose(latent, before["net.features.fc1.weight"], atol=1e-6)


@pytest.mark.parametrize("other", [["model=mnist_cnn"], ["model.hidden=[50]"], ["model.norm=all"]])
def test_another_net_is_refused_in_a_line(tmp_path, source, other):
    with pytest.raises(ConfigError, match="holds the weights of another net") as refused:
        run(tmp_path, *COSINE, f"ckpt_path={source}", *other)
    assert "\n" not in str(refused.value)


def test_own_folder_and_another_start_is_refused(tmp_path, source):
    run(tmp_path, *COSINE)
    with pytest.raises(ConfigError, match=r"another config, with ckpt_path=None \(here"):
        run(tmp_path, *COSINE, f"ckpt_path={source}")
    own = tmp_path / "checkpoints" / "last.ckpt"
    assert len(run(tmp_path, "scheduler=cosine", "trainer.max_epochs=3", f"ckpt_path={own}")["curve"]) == 3


WRONG = {
    "the weights of another net": {"state_dict": {"net.other.weight": torch.ones(3)}},
    "no weights": {"state_dict": {}},
    "no optimizer": {"optimizer_states": None},
    "an optimizer of no state": {"optimizer_states": []},
    "an optimizer with nothing in it": {"optimizer_states": [{}]},
    "no schedule": {"lr_schedulers": []},
    "no loops": {"loops": None},
    "no history": {"history": None},
    "a short history": {"history": [{"epoch": 1}]},
    "another epoch": {"epoch": 5},
    "half a config": {"config": {"name": "x"}},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_checkpoint_is_refused_in_a_line(tmp_path, source, what):
    given = changed(source, tmp_path / "given", **WRONG[what])
    with pytest.raises(ConfigError) as refused:
        run(tmp_path / "run", *COSINE, f"ckpt_path={given}")
    assert "\n" not in str(refused.value)
    assert str(given) in str(refused.value)


def test_an_optimizer_state_of_other_shapes_is_refused(tmp_path, source):
    """torch itself would take it, and fail at the first step."""
    saved = torch.load(source, weights_only=True)
    state = saved["optimizer_states"][0]["state"][0]
    state["exp_avg"] = state["exp_avg"][:3]
    given = changed(source, tmp_path / "given", optimizer_states=saved["optimizer_states"])
    with pytest.raises(ConfigError, match="its optimizer's exp_avg is"):
        run(tmp_path / "run", *COSINE, f"ckpt_path={given}")


def test_a_best_epoch_that_is_missing_or_damaged_is_noticed_at_the_start(tmp_path, source):
    given = changed(source, tmp_path / "given")
    best = given.with_name("best.ckpt")
    content = best.read_bytes()
    best.write_bytes(content[:5000])
    with pytest.raises(ConfigError, match=r"best\.ckpt cannot be read"):
        run(tmp_path / "run", *COSINE, f"ckpt_path={given}")
    best.unlink()
    with pytest.raises(ConfigError, match=r"best\.ckpt is no file"):
        run(tmp_path / "run", *COSINE, f"ckpt_path={given}")


def test_an_own_folder_with_a_damaged_best_epoch_starts_anew(tmp_path, capsys):
    whole = run(tmp_path, *COSINE)
    best = tmp_path / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:5000])
    assert run(tmp_path, *COSINE)["metrics"] == whole["metrics"]
    assert "it is set aside" in capsys.readouterr().err


def test_weights_of_another_net_are_refused_when_tested(source):
    task = build_task(composed("model.hidden=[50]"))
    with pytest.raises(ConfigError, match="weights of another net: size mismatch") as refused:
        load_weights(task, read_checkpoint(source)["state_dict"])
    assert "\n" not in str(refused.value)


def test_a_folder_with_a_bad_checkpoint_is_tested_but_for_that(cli, tmp_path):
    for seed in (0, 1):
        folder = tmp_path / "outputs" / f"{seed}"
        cfg = composed("trainer.max_epochs=1", f"seed={seed}")
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(new_record(cfg, "ok", **train(cfg, folder))))
    bad = tmp_path / "outputs" / "0" / "checkpoints" / "best.ckpt"
    bad.write_bytes(bad.read_bytes()[:5000])
    done = cli("evaluate", "checkpoint=outputs", "binary.eval=threshold")
    assert done.returncode == 1
    assert "outputs/0/checkpoints/best.ckpt cannot be read as a checkpoint" in done.stderr
    assert "outputs/1/checkpoints/best.ckpt, threshold" in done.stdout
    assert "Traceback" not in done.stderr


def test_threads_are_kept_and_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    try:
        set_threads("auto")
        assert torch.get_num_threads() == 3  # the process's own
        monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
        set_threads("auto")
        assert torch.get_num_threads() == 2
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        first = run(tmp_path, "trainer.max_epochs=1", "threads=2")
        second = run(tmp_path, "trainer.max_epochs=2", "threads=auto")
        assert [entry["threads"] for entry in second["curve"]] == [2, 2]
        assert "thread(s)" not in capsys.readouterr().err
        third = run(tmp_path, "trainer.max_epochs=3", "threads=1")
        assert [entry["threads"] for entry in third["curve"]] == [2, 2, 1]
        assert "goes on with 1 thread(s), where it had 2" in capsys.readouterr().err
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
        set_threads("auto", before=2)
        assert torch.get_num_threads() == 1
        assert "goes on with 1 thread(s), where it had 2" in capsys.readouterr().err
        assert first["curve"][0]["threads"] == 2
    finally:
        torch.set_num_threads(1)


def test_the_record_names_the_device_that_was_used(tmp_path, monkeypatch):
    content = run(tmp_path, "trainer.max_epochs=1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a card")
    hardware = new_record(composed(), "ok", **content)["hardware"]
    assert (hardware["device"], hardware["gpu"]) == ("cpu", None)
    on_card = new_record(composed(), "ok", **(content | {"device": "cuda:0"}))["hardware"]
    assert on_card["gpu"] == "a card"


def test_auto_is_another_run_where_there_is_a_card(monkeypatch):
    here = composed()
    assert here["trainer"]["accelerator"] == "auto"
    monkeypatch.setattr("binlit.device.has_gpu", lambda: True)
    there = composed()
    assert there["trainer"]["accelerator"] == "gpu"
    assert fingerprint(there) != fingerprint(here)
    assert composed("trainer.accelerator=cpu")["trainer"]["accelerator"] == "cpu"
    assert check(here) == here  # a record's config is what it was, wherever it is read


def test_a_run_on_a_card_can_be_tested_without_one(tmp_path):
    content = run(tmp_path, "trainer.max_epochs=1")
    cfg = composed("trainer.max_epochs=1", "trainer.accelerator=gpu")
    found = evaluate(cfg, read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")["state_dict"])
    assert found["metrics"]["test/acc"] == content["metrics"]["test/acc"]


def test_a_precision_that_the_processor_has_not_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"trainer\.precision=16-mixed needs a GPU.*bf16-mixed"):
        build_trainer(composed("trainer.precision=16-mixed"), tmp_path, quiet=True)


def test_a_run_that_has_begun_needs_the_checkpoint_it_started_from_no_more(tmp_path, source):
    given = changed(source, tmp_path / "given")
    begun = ["scheduler=cosine", f"ckpt_path={given}", "optimizer.lr=0.01"]
    run(tmp_path / "run", *begun, "trainer.max_epochs=1")
    given.unlink()
    longer = run(tmp_path / "run", *begun, "trainer.max_epochs=2")
    assert len(longer["curve"]) == 2
    assert longer["started_from"]["before"]["taken"] == "weights"
