"""Aggregation against scipy, published values beside it, holes shown."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from binlit.interval import interval
from binlit.report import main
from binlit.results.folder import set_aside
from binlit.results.pages.main_table import MainTable, cells
from binlit.results.pages.sites import Sites
from binlit.results.record import read_records, write_record
from binlit.results.table import build_table, published_rows, variants_of

NONE = {"layer": "none", "mode": "none", "estimator": "none", "anneal": "none"}
ST1 = {"layer": "1", "mode": "stochastic", "estimator": "st", "anneal": "none"}


def record(
    row: dict, seed: int, acc: float | None, loss: float | None = 0.1, experiment="mnist_table", **config
) -> dict:
    binary = {"layer": [] if row["layer"] == "none" else [row["layer"]]}
    whole = {
        "seed": seed, "dataset": {"name": "d", "seed": seed}, "model": {"name": "m", "sites": ["a", "b"]},
        "binary": binary, "trainer": {"max_epochs": 1}, "estimator": {}, "anneal": {}, "row": {},
        "name": "x", "callbacks": {}, **config,
    }  # fmt: skip
    return {
        "status": "ok" if acc is not None else "failed", "experiment": experiment, "row": row, "seed": seed,
        "fingerprint": f"2-{row}{seed}{config}", "metrics": {"test/acc": acc, "test/loss": loss, "test/n": 10},
        "config": whole,
        "error": "ValueError: no", "finished": "2026-01-01", "duration": 3.0, "versions": {"torch": "2"},
        "hardware": {"gpu": None, "processor": "p", "threads": 1},
    }  # fmt: skip


def test_interval_is_students():
    x = [98.1, 98.4, 98.2, 98.9]
    mean, half = interval(x)
    low, high = stats.t.interval(0.95, len(x) - 1, loc=np.mean(x), scale=stats.sem(x))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert np.isnan(interval([1.0])[1])


def test_rows_means_costs_and_published():
    records = [record(NONE, s, a) for s, a in enumerate([0.98, 0.99])] + [
        record(ST1, s, a) for s, a in enumerate([0.97, 0.975])
    ]
    table = build_table(records).set_index(["layer", "mode", "estimator"])
    none, st = table.loc[("none", "none", "none")], table.loc[("1", "stochastic", "st")]
    assert none["acc"] == pytest.approx(98.5)
    assert st["acc"] == pytest.approx(97.25)
    assert st["acc_cost"] == pytest.approx(1.25)
    assert st["acc_published"] == 98.29
    assert st["acc_difference"] == pytest.approx(97.25 - 98.29)
    assert st["n"] == 2
    assert len(table) == 13  # published rows without a run are shown
    assert table.loc[("all", "deterministic", "detached"), "n"] == 0


def test_published_table_has_the_thirteen_rows():
    rows = published_rows("mnist_table")
    assert len(rows) == 13
    assert sum(row["acc"] for row in rows.values()) == pytest.approx(
        98.79 + 98.29 + 98.31 + 97.54 + 98.65 + 97.81 + 97.57 + 97.56 + 88.95 + 80.68 + 97.76 + 95.42 + 93.40
    )
    assert published_rows("no such study") == {}


def test_failed_and_missing_runs_are_shown():
    records = [record(ST1, 0, 0.9, experiment="other"), record(ST1, 1, None, experiment="other")]
    expected = [{"row": ST1, "seed": 2, "fingerprint": "2-x"}, {"row": NONE, "seed": 2, "fingerprint": "2-y"}]
    table = build_table(records, expected).set_index("layer")
    assert table.loc["1", ["n", "failed", "missing"]].tolist() == [1, 1, 1]
    assert table.loc["none", ["n", "failed", "missing"]].tolist() == [0, 0, 1]
    text = cells(table.reset_index())
    assert text.loc[1, "failed"] == "1"
    assert "accuracy % | cost" in MainTable(records, "t").markdown(table.reset_index())


def test_two_recipes_are_never_averaged():
    records = [record(ST1, 0, 0.9, optimizer={"lr": 0.1}), record(ST1, 0, 0.8, optimizer={"lr": 0.01})]
    table = build_table(records, experiment="other")
    assert sorted(table["setting"]) == ["optimizer.lr=0.01", "optimizer.lr=0.1"]
    assert table["n"].tolist() == [1, 1]


def test_costs_are_against_the_net_of_the_same_setting():
    rows = [(NONE, 0.99, 0.1), (NONE, 0.95, 0.01), (ST1, 0.98, 0.1), (ST1, 0.90, 0.01)]
    table = build_table([record(row, 0, acc, optimizer={"lr": lr}) for row, acc, lr in rows], experiment="other")
    costs = {(line["layer"], line["setting"]): line["acc_cost"] for line in table.to_dict("records")}
    assert costs["1", "optimizer.lr=0.1"] == pytest.approx(1)
    assert costs["1", "optimizer.lr=0.01"] == pytest.approx(5)


def test_published_values_stay_beside_variants():
    records = [record(ST1, 0, 0.98, optimizer={"lr": 0.1}), record(ST1, 0, 0.90, optimizer={"lr": 0.01})]
    table = build_table(records)
    assert table.loc[table["layer"] == "1", "acc_published"].dropna().tolist().count(98.29) == 2
    assert len(table) == 14


def test_a_diverged_run_is_not_averaged_away():
    records = [record(ST1, 0, 0.9), record(ST1, 1, 0.1, loss=None)]
    line = build_table(records, experiment="other").iloc[0]
    assert line["acc"] == pytest.approx(50)
    assert np.isnan(line["loss"])


def test_a_record_seen_twice_counts_once():
    assert build_table([record(ST1, 0, 0.9)] * 2, experiment="other")["n"].tolist() == [1]


def test_a_further_net_with_nothing_binary_leaves_the_costs_of_the_others():
    """Rows of one recipe, and nets with nothing binary of two: each row is compared with the net of its own."""
    runs = [record(NONE, 0, 0.98, optimizer={"lr": 0.1}), record(NONE, 0, 0.90, optimizer={"lr": 0.5})]
    runs += [record(ST1, 0, 0.97, optimizer={"lr": 0.1}, anneal={"k": k}) for k in (1, 2)]
    costs = build_table(runs, experiment="other")["acc_cost"].tolist()
    assert costs == pytest.approx([0, 0, 1, 1])


def test_a_run_reported_from_two_folders_counts_once_on_every_page(tmp_path):
    one = record(ST1, 0, 0.9) | {"curve": [{"epoch": 1, "site/a/ones": 0.5}]}
    for folder in ("a", "b"):
        write_record(tmp_path / folder / "run", one)
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "docs"), "--sites"]) == 0
    assert len((tmp_path / "docs" / "records.jsonl").read_text().splitlines()) == 1
    assert "\n1 runs of" in (tmp_path / "docs" / "table.md").read_text()
    assert "| 1 | 50.0 |" in (tmp_path / "docs" / "sites.md").read_text()


def test_report_writes_four_files_from_folders_and_again_from_records(tmp_path, capsys):
    for i, one in enumerate([record(NONE, 0, 0.98), record(ST1, 0, 0.97), record(ST1, 1, 0.96)]):
        write_record(tmp_path / "runs" / str(i), one)
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "docs")]) == 0
    names = {path.name for path in (tmp_path / "docs").iterdir()}
    assert names == {"records.jsonl", "table.md", "table.csv", "table.png"}
    assert (tmp_path / "docs" / "table.png").read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / "docs" / "table.csv").read_text()
    assert main([str(tmp_path / "docs"), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "table.csv").read_text() == first
    assert len(pd.read_csv(tmp_path / "docs" / "table.csv")) == 13
    assert "no binary layer" not in capsys.readouterr().err


def test_report_of_nothing_says_so(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "run something into it first" in capsys.readouterr().err


def test_runs_set_aside_are_kept_and_not_reported(tmp_path):
    write_record(tmp_path / "run", record(ST1, 0, 0.9))
    set_aside(tmp_path / "run")
    write_record(tmp_path / "run", record(ST1, 0, 0.95))
    assert [one["metrics"]["test/acc"] for one in read_records(tmp_path)] == [0.95]
    kept = json.loads((tmp_path / "run" / "superseded" / "1" / "result.json").read_text())
    assert kept["metrics"]["test/acc"] == 0.9


def test_title_and_footnotes_come_from_the_records(tmp_path):
    for i, one in enumerate([record(ST1, 0, 0.9), record(ST1, 1, None)]):
        write_record(tmp_path / str(i), one)
    assert main([str(tmp_path)]) == 0
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("# mnist_table (d, m)")
    assert "failed: 1 stochastic st none, seed 1: ValueError: no" in text
    assert "torch 2 (1 runs)" in text


def watched(seed: int, ones: float, flips: float, lr: float) -> dict:
    figures = {"site/a/ones": ones, "site/a/flat": 0.5, "weight/fc1/flips": flips}
    return record(ST1, seed, 0.9, optimizer={"lr": lr}) | {"curve": [{"site/a/ones": 0.0}, figures]}


def test_sites_average_seeds_and_not_recipes():
    runs = [watched(0, 0.4, 0.02, 0.1), watched(1, 0.6, 0.04, 0.1), watched(0, 0.9, 0.000234, 1.0)]
    page = Sites(runs).markdown(Sites(runs).frame())
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| 1 ")]
    assert [row[-3:] for row in rows] == [
        ["optimizer.lr=0.1", "2", "50.0"], ["optimizer.lr=1", "1", "90.0"],  # bits on
        ["optimizer.lr=0.1", "2", "50.0"], ["optimizer.lr=1", "1", "50.0"],  # without a gradient
        ["optimizer.lr=0.1", "2", "3.0"], ["optimizer.lr=1", "1", "0.023"],  # weights flipped: two digits
    ]  # fmt: skip


def test_what_follows_from_the_length_is_not_named():
    def run(epochs: int, **schedule: float) -> dict:
        return record(ST1, 0, 0.9, trainer={"max_epochs": epochs}, scheduler=schedule)

    def settings(*runs: dict) -> list[str]:
        return [one["setting"] for one in variants_of(runs).values()]

    assert settings(run(10, T_max=10), run(20, T_max=20)) == ["trainer.max_epochs=10", "trainer.max_epochs=20"]
    apart = settings(run(10, T_max=5), run(20, T_max=7))
    assert apart == ["scheduler.T_max=5, trainer.max_epochs=10", "scheduler.T_max=7, trainer.max_epochs=20"]
    assert settings(run(2, gamma=0.1), run(1, gamma=0.01)) == ["trainer.max_epochs=2", "trainer.max_epochs=1"]
    apart = settings(run(2, gamma=0.1), run(1, gamma=0.5))
    assert apart == ["scheduler.gamma=0.1, trainer.max_epochs=2", "scheduler.gamma=0.5, trainer.max_epochs=1"]
