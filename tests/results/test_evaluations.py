"""Nets tested again: each way of testing a line, its cost taken seed by seed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from binlit.report import main
from binlit.results.pages.evaluations import Evaluations

PLAIN = {"layer": "none", "mode": "none", "estimator": "none", "anneal": "none"}
DRAWN = {"layer": "1", "mode": "stochastic", "estimator": "st", "anneal": "none"}


def record(row: dict, seed: int, acc: float, evaluations: list[dict] | None = None) -> dict:
    layer = None if row["layer"] == "none" else [row["layer"]]
    return {
        "status": "ok", "experiment": "e", "row": row, "seed": seed, "fingerprint": f"2-{row}{seed}", "duration": 1.0,
        "metrics": {"test/acc": acc, "test/loss": 1.0, "test/n": 10}, "finished": "2026", "curve": [],
        "hardware": {"gpu": None, "processor": "p", "threads": 1}, "versions": {"torch": "2"},
        "config": {"seed": seed, "dataset": {"name": "d"}, "model": {"name": "m", "sites": ["a", "b"]},
                   "binary": {"layer": layer, "eval": "auto", "eval_draws": 1}, "trainer": {"max_epochs": 1},
                   "callbacks": {"best": {"_target_": "pl.ModelCheckpoint", "monitor": "val/loss"}}, "task": {}},
    } | ({"evaluations": evaluations} if evaluations else {})  # fmt: skip


def again(how: str, acc: float, seed: int = 0, draws: int = 1) -> dict:
    return {"checkpoint": "best.ckpt", "eval": how, "eval_draws": draws, "seed": seed, "metrics": {"test/acc": acc}}


RECORDS = [
    record(PLAIN, 0, 0.80),
    record(PLAIN, 1, 0.84),
    record(DRAWN, 0, 0.70, [again("mean", 0.77, draws=20), again("threshold", 0.72)]),
    record(DRAWN, 1, 0.72, [again("mean", 0.83, 1, 20), again("threshold", 0.70, 1), again("threshold", 0.71, 5)]),
    record(DRAWN, 2, 0.10),  # no partner, and not tested again
    record(DRAWN | {"mode": "deterministic"}, 0, 0.75),  # not tested again: not shown
]


def test_every_way_of_testing_has_a_line_and_its_cost_is_paired_by_seed():
    tested = Evaluations(RECORDS, "t")
    table = tested.frame().set_index("tested")
    assert table.index.tolist() == ["", "one draw", "mean of 20 draws", "thresholded"]
    mean = table.loc["mean of 20 draws"]
    assert mean["acc"] == pytest.approx(80)
    assert mean["cost"] == pytest.approx(np.mean([3, 1]))
    assert mean["cost_ci95"] == pytest.approx(stats.t.ppf(0.975, 1) * stats.sem([3, 1]))
    assert table.loc["thresholded", "acc"] == pytest.approx((72 + 70.5) / 2)  # two seeds of draws are one run
    own = table.loc["one draw"]
    assert (own["n"], own["acc"], own["cost"]) == (3, pytest.approx((70 + 72 + 10) / 3), pytest.approx((10 + 12) / 2))
    assert table.loc["", "acc"] == pytest.approx(82)
    page = tested.markdown(tested.frame())
    assert "| layer | mode | estimator | tested with | n | accuracy % | cost |" in page
    assert "| 1 | stochastic | st | mean of 20 draws | 2 | 80.00 ± 38.12 | +2.00 ± 12.71 |" in page
    assert "| none | – | – | – | 2 | 82.00" in page


def test_report_writes_the_page_from_the_runs_folders_and_again_from_its_own_records(tmp_path):
    for one in RECORDS:
        folder = tmp_path / "runs" / one["fingerprint"].replace("'", "")
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({k: v for k, v in one.items() if k != "evaluations"}))
        lines = [again("mean", 0.5, one["seed"], 20)] if "evaluations" in one else []  # superseded by a later test
        lines += [{**again("mean", 0.9), "checkpoint": "last.ckpt"}, *one.get("evaluations", [])]
        (folder / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "a")]) == 0
    assert main([str(tmp_path / "a"), "--out", str(tmp_path / "b")]) == 0
    page = (tmp_path / "a/evaluations.md").read_text()
    assert page == (tmp_path / "b/evaluations.md").read_text()
    assert "| mean of 20 draws | 2 | 80.00 " in page
    assert "90.00" not in page
