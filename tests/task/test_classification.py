"""Training through the whole path on digits: slopes that are read, gradients that are watched, resuming bit for bit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from binlit.config import check
from binlit.errors import ConfigError
from binlit.paths import config_dir
from binlit.running.build import build_task
from binlit.train import train

TIMES = ("seconds", "train_seconds")
QUICK = ["model=mlp", "logger=none", "trainer.enable_progress_bar=false", "dataset.batch_size=256", "threads=1"]


def composed(*overrides: str) -> dict:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return check(compose("config", [*QUICK, *overrides]))


def run(folder: Path, *overrides: str) -> dict:
    return train(composed(*overrides), folder)


def without_times(curve: list[dict]) -> list[dict]:
    return [{name: value for name, value in entry.items() if name not in TIMES} for entry in curve]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


RESUMED = [
    ["estimator=st", "binary.mode=stochastic"],
    ["estimator=rloo", "optimizer.lr=0.02"],
    ["estimator=nvil", "optimizer.lr=0.01"],
    ["estimator=relax", "estimator.tune_every=2", "optimizer.lr=0.01"],
    ["estimator=double_cv", "estimator.decay=0.9", "optimizer.lr=0.01"],
    ["estimator=rodeo", "estimator.tune_every=2", "optimizer.lr=0.01"],
    ["estimator=reste", "estimator.epochs=4"],
    ["estimator=reinforce", "optimizer=adam"],
    ["binary=bnn", "estimator=st_clipped", "model.norm=all", "task.loss=squared_hinge", "optimizer=adam_bnn"],
    ["binary=weights", "weight=binaryconnect", "model.dropout=0.3", "scheduler=decay", "scheduler.gamma=0.5"],
    ["binary=weights", "weight.mode=deterministic", "optimizer=bop", "optimizer.gamma=0.01"],
    [
        "estimator=st",
        "model=mnist_cnn",
        "anneal=exponential",
        "scheduler=cosine",
        "scheduler.T_max=4",
        "dataset.batch_size=512",
    ],
]


@pytest.mark.parametrize("overrides", RESUMED)
def test_two_epochs_and_two_more_equal_four(tmp_path, overrides):
    unbroken = run(tmp_path / "four", *overrides, "trainer.max_epochs=4")
    run(tmp_path / "two", *overrides, "trainer.max_epochs=2")
    last = tmp_path / "two" / "checkpoints" / "last.ckpt"
    resumed = run(tmp_path / "rest", *overrides, "trainer.max_epochs=4", f"ckpt_path={last}")
    assert without_times(resumed["curve"]) == without_times(unbroken["curve"])
    assert resumed["metrics"] == unbroken["metrics"]
    a, b = weights(tmp_path / "four"), weights(tmp_path / "rest")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_best_epoch_of_the_first_part_stays_the_best(tmp_path):
    """Going on elsewhere with a step that ruins the net: the epoch tested is the one from before the move."""
    ruined = ["scheduler=step", "scheduler.step_size=2", "scheduler.gamma=1000.0"]
    unbroken = run(tmp_path / "four", *ruined, "trainer.max_epochs=4")
    run(tmp_path / "half", *ruined, "trainer.max_epochs=2")
    resumed = run(
        tmp_path / "rest", *ruined, "trainer.max_epochs=4", f"ckpt_path={tmp_path}/half/checkpoints/last.ckpt"
    )
    assert unbroken["best_epoch"] <= 2
    assert resumed["metrics"] == unbroken["metrics"]


def test_a_run_goes_on_in_its_own_folder(tmp_path):
    """What resume=true does after a kill: the same folder, the last checkpoint, nothing overwritten."""
    unbroken = run(tmp_path / "a", "trainer.max_epochs=3", "logger=default")
    run(tmp_path / "b", "trainer.max_epochs=1", "logger=default")
    resumed = run(tmp_path / "b", "trainer.max_epochs=3", "logger=default")
    assert without_times(resumed["curve"]) == without_times(unbroken["curve"])
    assert resumed["metrics"] == unbroken["metrics"]
    assert sorted(path.name for path in (tmp_path / "b" / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert sorted(path.name for path in (tmp_path / "b" / "csv").iterdir()) == ["version_0", "version_1"]


def test_same_seed_same_run_and_another_seed_another(tmp_path):
    one, two, other = (
        run(tmp_path / name, "trainer.max_epochs=1", f"seed={s}") for name, s in (("a", 0), ("b", 0), ("c", 1))
    )
    assert without_times(one["curve"]) == without_times(two["curve"])
    assert one["metrics"]["test/loss"] != other["metrics"]["test/loss"]


def test_checkpoints_hold_plain_containers(tmp_path):
    run(tmp_path, "trainer.max_epochs=1", "estimator=rloo", "optimizer.lr=0.01")
    saved = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["config"]["estimator"]["name"] == "rloo"


def test_the_best_epoch_is_the_one_tested(tmp_path):
    """A step that grows without end: the later epochs are worse, and are not what is tested."""
    content = run(
        tmp_path,
        "optimizer=sgd",
        "scheduler=exponential",
        "scheduler.gamma=30.0",
        "trainer.max_epochs=4",
        "optimizer.lr=0.05",
    )
    losses = [entry["val/loss"] for entry in content["curve"]]
    finite = [loss if loss is not None else math.inf for loss in losses]
    assert content["best_epoch"] == 1 + finite.index(min(finite))
    assert content["best_epoch"] < 4
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] + 1 == content["best_epoch"]
    assert content["metrics"]["val/loss"] == min(finite)


@pytest.mark.parametrize("anneal", ["none", "exponential", "linear", "cosine", "step"])
def test_the_logged_slope_is_the_one_in_force(tmp_path, anneal):
    content = run(tmp_path, f"anneal={anneal}", "trainer.max_epochs=3", "binary.mode=deterministic")
    schedule = build_task(composed(f"anneal={anneal}", "trainer.max_epochs=3")).anneal
    for entry in content["curve"]:
        expected = pytest.approx(schedule.slope(int(entry["epoch"])))
        assert entry["slope"] == expected
        assert entry["site/features.act1/slope"] == expected


def test_the_training_pass_reads_the_annealed_slope(tmp_path):
    """Two schedules, one seed: equal in the epoch in which their slopes are equal, different once they differ."""
    plain = run(tmp_path / "a", "trainer.max_epochs=2", "anneal=none")["curve"]
    steep = run(tmp_path / "b", "trainer.max_epochs=2", "anneal=step", "anneal.every=1", "anneal.factor=4.0")["curve"]
    assert plain[0]["train/loss"] == steep[0]["train/loss"]
    assert plain[1]["train/loss"] != steep[1]["train/loss"]
    # four times the slope puts more units into the flat part, on the same batch
    assert steep[1]["site/features.act1/flat"] > plain[1]["site/features.act1/flat"]


@pytest.mark.parametrize(
    ("estimator", "learns"), [("st", True), ("rloo", True), ("reinforce", True), ("detached", False)]
)
def test_the_gradient_below_the_site_is_watched(tmp_path, estimator, learns, capsys):
    from binlit.running.announce import announce

    content = run(tmp_path, f"estimator={estimator}", "trainer.max_epochs=1", "optimizer.lr=0.01")
    below = content["curve"][-1]["site/features.act1/grad_below"]
    assert (below > 0) == learns
    record = {"row": {"layer": "1"}, "seed": 0, **content}
    announce(record, tmp_path, "", sites=True)
    assert ("the layers below it learn nothing" in capsys.readouterr().out) != learns


def test_watching_does_not_change_the_run(tmp_path):
    often = run(tmp_path / "a", "trainer.max_epochs=2", "callbacks.monitor.every=1")
    never = run(tmp_path / "b", "trainer.max_epochs=2", "callbacks.monitor=null")
    assert often["metrics"] == never["metrics"]
    assert [entry["train/loss"] for entry in often["curve"]] == [entry["train/loss"] for entry in never["curve"]]


def test_flips_are_the_weights_doing(tmp_path):
    """A learning rate of almost nothing flips almost nothing, although every bit is drawn."""
    still = run(tmp_path / "a", "trainer.max_epochs=2", "optimizer.lr=1e-9")["curve"][-1]
    moving = run(tmp_path / "b", "trainer.max_epochs=2", "optimizer.lr=0.1")["curve"][-1]
    assert still["site/features.act1/flips"] < 1e-4 < moving["site/features.act1/flips"]


def test_the_logged_rate_is_the_one_in_force(tmp_path):
    curve = run(tmp_path, "scheduler=step", "scheduler.step_size=1", "scheduler.gamma=0.1", "trainer.max_epochs=3")[
        "curve"
    ]
    assert [entry["lr"] for entry in curve] == pytest.approx([1e-3, 1e-4, 1e-5])


def test_what_was_counted_is_what_was_seen(tmp_path):
    limits = ["trainer.limit_train_batches=2", "trainer.limit_test_batches=0.5", "dataset.eval_batch_size=100"]
    limited = run(tmp_path, *limits, "trainer.max_epochs=1")
    assert limited["metrics"]["test/n"] == 200
    assert limited["curve"][0]["examples"] == 2 * 256


def test_an_epoch_without_validation_has_no_validation_figures(tmp_path):
    curve = run(tmp_path, "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2")["curve"]
    assert ["val/loss" in entry for entry in curve] == [False, True, False]


def test_the_epoch_chosen_by_accuracy_is_the_one_recorded(tmp_path):
    content = run(tmp_path, "trainer.max_epochs=3", "callbacks.best.monitor=val/acc", "callbacks.best.mode=max")
    assert content["metrics"]["val/acc"] == max(entry["val/acc"] for entry in content["curve"])
    assert content["curve"][content["best_epoch"] - 1]["val/acc"] == content["metrics"]["val/acc"]


def test_a_folder_with_another_runs_checkpoint_is_refused(tmp_path):
    run(tmp_path, "trainer.max_epochs=1")
    with pytest.raises(ConfigError, match="holds a run of another config"):
        run(tmp_path, "trainer.max_epochs=1", "optimizer.lr=0.5")


def test_a_damaged_own_checkpoint_is_set_aside(tmp_path, capsys):
    whole = run(tmp_path, "trainer.max_epochs=1")
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    again = run(tmp_path, "trainer.max_epochs=1")
    assert again["metrics"] == whole["metrics"]
    assert "it is set aside, and the run starts anew" in capsys.readouterr().err
    assert (tmp_path / "superseded" / "1" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize(("name", "message"), [("nowhere.ckpt", "is no file"), ("junk.ckpt", "cannot be read")])
def test_a_checkpoint_that_is_none_is_refused(tmp_path, name, message):
    (tmp_path / "junk.ckpt").write_text("junk")
    with pytest.raises(ConfigError, match=message):
        run(tmp_path / "run", f"ckpt_path={tmp_path}/{name}")


def test_mean_of_draws_is_the_mean_of_probabilities():
    task = build_task(composed("binary.eval=mean", "binary.eval_draws=3")).eval()
    x = torch.randn(5, 1, 28, 28)
    torch.manual_seed(1)
    mean = task.mean_prediction(lambda: task.net(x)).softmax(1)
    torch.manual_seed(1)
    each = torch.stack([task(x).softmax(1) for _ in range(3)]).mean(0)
    assert torch.allclose(mean, each, atol=1e-6)


def test_tensorboard_has_the_final_metrics_as_hparams(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    content = run(tmp_path, "trainer.max_epochs=1", "logger=default")
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert "final/test/acc" in tags
    assert events.Scalars("final/test/acc")[0].value == pytest.approx(content["metrics"]["test/acc"])
    for tag in ("slope", "site/features.act1/grad_below", "val/acc", "train/loss"):
        assert tag in tags
