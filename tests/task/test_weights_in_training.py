"""Binary weights through the whole path: rates, clip, squared hinge, what the monitor counts."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

import binlit
from binlit.binary import binary_weights, latent
from binlit.callbacks.weight_monitor import WeightMonitor, _differing, packed_signs
from binlit.config import check
from binlit.running.build import build_task
from binlit.task.classification import squared_hinge
from binlit.train import train


def composed(*overrides: str) -> dict:
    from hydra import compose, initialize_config_dir

    from binlit.paths import config_dir

    quick = ["model=mlp", "logger=none", "trainer.enable_progress_bar=false", "dataset.batch_size=256", "threads=1"]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return check(compose("config", [*quick, *overrides]))


def test_squared_hinge_by_hand():
    scores = torch.tensor([[2.0, -0.5, 0.0]])
    assert squared_hinge(scores, torch.tensor([0])).item() == pytest.approx((0 + 0.25 + 1) / 3)
    assert squared_hinge(scores, torch.tensor([1])).item() == pytest.approx((9 + 2.25 + 1) / 3)


def test_every_latent_weight_has_its_rate_and_stays_inside():
    task = build_task(composed("binary=bnn", "optimizer.lr=0.5", "scheduler=exponential"))
    configured = task.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]
    rates = [group["lr"] for group in optimizer.param_groups]
    units = list(binary_weights(task.net).values())
    assert rates == pytest.approx([0.5, *(0.5 * unit.rate_scale for unit in units)])
    assert units[0].rate_scale == pytest.approx(math.sqrt((784 + 100) / 1.5))
    loss = task.net(torch.randn(8, 1, 28, 28)).square().sum()
    loss.backward()
    optimizer.step()
    for name in binary_weights(task.net):
        assert latent(task.net, name).abs().max() == 1  # such steps leave the box, and are clipped back
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.9 * rate for rate in rates])


def test_a_run_records_flips_and_what_the_net_is_made_of(tmp_path):
    content = train(composed("binary=bnn", "estimator=st_clipped", "model.norm=all", "trainer.max_epochs=2"), tmp_path)
    last = content["curve"][-1]
    for layer in ("features.fc1", "classifier"):
        assert 0 < last[f"weight/{layer}/flips"] < 0.5
        assert last[f"weight/{layer}/grad"] > 0
    sums = content["model"]["totals"]
    assert (sums["bits"], sums["binary_macs"]) == (784 * 100 + 1000, 1000)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    held = state["net.features.fc1.parametrizations.weight.original"]
    assert held.abs().max() <= 1
    assert len(held.unique()) > 100  # latent, not bits


def test_a_layer_that_gets_no_gradient_is_seen(tmp_path):
    rule = "estimator@weight.estimator=detached"
    content = train(composed("binary=weights", rule, "trainer.max_epochs=1"), tmp_path)
    assert content["curve"][-1]["weight/features.fc1/grad"] == 0
    assert content["curve"][-1]["weight/features.fc1/flips"] == 0


def test_signs_are_packed_and_compared_bit_by_bit():
    one, other = torch.randn(3, 7), torch.randn(3, 7)
    assert packed_signs(one).dtype == torch.uint8
    assert len(packed_signs(one)) == 3
    assert _differing(packed_signs(one), packed_signs(other)) == int(((one >= 0) != (other >= 0)).sum())


def test_flips_are_counted_from_one_epoch_to_the_next():
    class Watched:
        def __init__(self) -> None:
            self.net = binlit.binarize_weights(torch.nn.Sequential(torch.nn.Linear(5, 4)))
            self.figures: list[float] = []

        def log_dict(self, figures: dict) -> None:
            self.figures.append(float(figures["weight/0/flips"]))

    module: Any = Watched()
    monitor = WeightMonitor()
    monitor.on_fit_start(None, module)  # type: ignore[arg-type]
    for turned in ([0, 1], [1, 2, 3], []):  # weight 1 turns and turns back: against the start it would not be seen
        with torch.no_grad():
            latent(module.net, "0").view(-1)[turned] *= -1
        monitor.on_train_epoch_end(None, module)  # type: ignore[arg-type]
    assert module.figures == pytest.approx([2 / 20, 3 / 20, 0])


def test_a_checkpoint_is_tested_again_with_other_weights(tmp_path, command):
    quick = ["model=mlp", "trainer.max_epochs=1", "binary=weights", "weight=binaryconnect"]
    assert command("train", *quick).returncode == 0
    (checkpoint,) = tmp_path.glob("outputs/digits/*/checkpoints/best.ckpt")
    record = json.loads((checkpoint.parents[1] / "result.json").read_text())
    found = {}
    for way in ("latent", "threshold", "sample"):
        done = command("evaluate", f"checkpoint={checkpoint}", f"weight.eval={way}")
        assert f"weight.eval={way}" in done.stdout, done.stderr
        found[way] = done.stdout.partition("accuracy ")[2]
    assert found["latent"].startswith(f"{100 * record['metrics']['test/acc']:.2f} %")
    assert len(set(found.values())) == 3
    assert command("train", "model=mlp", "trainer.max_epochs=1", "name=plain").returncode == 0
    (other,) = tmp_path.glob("outputs/plain/*/checkpoints/best.ckpt")
    refused = command("evaluate", f"checkpoint={other}", "weight.eval=latent")
    assert refused.returncode == 2
    assert "weight.eval=latent has no effect: this net has no binary weights" in refused.stderr
