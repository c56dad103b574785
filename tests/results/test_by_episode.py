"""Rows compared episode by episode: the interval of the differences, not the difference of the intervals."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from binlit.report import main
from binlit.results.pages.episodes import Episodes
from binlit.results.pages.main_table import MainTable


def record(layer: str, seed: int, counts: list[int], kind: str = "5w1s", **row: str) -> dict:
    binary = layer != "none"
    keys = {"layer": layer, "mode": "deterministic" if binary else "none", "estimator": "st" if binary else "none"}
    return {
        "status": "ok", "experiment": "few", "row": {**keys, "anneal": "none", **row}, "seed": seed, "duration": 1.0,
        "fingerprint": f"2-{layer}{seed}{row}", "finished": "2026", "metrics": {"test/acc": np.mean(counts) / 75,
        "test/loss": 0.1, "test/n": 75 * len(counts)}, "episodes": {kind: counts}, "curve": [],
        "hardware": {"gpu": None, "processor": "p", "threads": 1}, "versions": {"torch": "2"},
        "config": {"dataset": {"name": "d", "query": 15}, "model": {"name": "m", "sites": ["a"]},
                   "binary": {"layer": [layer] if binary else None}, "trainer": {"max_epochs": 1}, "callbacks": {},
                   "task": {}, "seed": seed},
    }  # fmt: skip


RECORDS = [
    record("none", 0, [75, 70, 60, 72]),
    record("none", 1, [73, 70, 62, 70]),
    record("2", 0, [70, 66, 55, 68]),
    record("2", 1, [68, 65, 58, 66]),
    record("2", 2, [0, 0, 0, 0]),  # no partner
]


def text(records: list[dict], title: str = "t") -> str:
    page = Episodes(records, title)
    return page.markdown(page.frame())


def test_difference_is_paired_by_episode_over_the_seeds_that_both_have():
    table = Episodes(RECORDS).frame()
    assert table["layer"].tolist() == ["none", "2"]
    base, row = table.to_dict("records")
    less = 100 / 75 * np.mean([np.subtract(RECORDS[2 + s]["episodes"]["5w1s"], RECORDS[s]["episodes"]["5w1s"])
                               for s in (0, 1)], axis=0)  # fmt: skip
    assert row["difference"] == pytest.approx(less.mean())
    assert row["difference_ci95"] == pytest.approx(stats.t.ppf(0.975, 3) * stats.sem(less))
    by_seed = [np.subtract(RECORDS[2 + s]["episodes"]["5w1s"], RECORDS[s]["episodes"]["5w1s"]).mean() for s in (0, 1)]
    expected = 100 / 75 * stats.t.ppf(0.975, 1) * stats.sem(by_seed)
    assert row["difference_seeds_ci95"] == pytest.approx(expected)
    assert row["n"] == 3
    assert math.isnan(base["difference"])
    means = np.mean([r["episodes"]["5w1s"] for r in RECORDS[:2]], axis=0) * 100 / 75
    assert base["acc"] == pytest.approx(means.mean())
    assert base["acc_ci95"] == pytest.approx(stats.t.ppf(0.975, 3) * stats.sem(means))
    over_seeds = [np.mean(r["episodes"]["5w1s"]) * 100 / 75 for r in RECORDS[:2]]
    assert base["seeds_ci95"] == pytest.approx(stats.t.ppf(0.975, 1) * stats.sem(over_seeds))
    paired, apart = row["difference_ci95"], math.hypot(row["acc_ci95"], base["acc_ci95"])
    assert paired < apart / 2


def test_page_has_a_part_for_each_kind_and_the_shares_of_mixed_rows():
    records = [*RECORDS, record("none", 0, [9, 9], "20w5s"), record("2", 0, [70, 66, 55, 68], share="0.5")]
    page = text(records)
    assert "## 5-way 1-shot" in page
    assert "## 20-way 5-shot" in page
    assert "| share |" in page
    assert "**-" in page  # an interval that leaves 0 out


def test_report_writes_the_page(tmp_path):
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in RECORDS))
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / "episodes.md").read_text() == text(RECORDS, "few (d, m)")


def test_rows_that_were_tested_on_fewer_episodes_are_not_paired_and_one_episode_has_no_interval():
    table = Episodes([record("none", 0, [75, 70]), record("2", 0, [70, 66, 55])]).frame()
    assert np.isnan(table["difference"].tolist()).all()
    page = text([record("none", 0, [75]), record("2", 0, [60])])
    assert "nan" not in page
    assert "| 80.00 |" in page


def test_recipes_are_kept_apart_and_compared_with_their_own_base():
    def at(rate: float, records: list[dict]) -> list[dict]:
        changed = []
        for one in records:
            config = one["config"] | {"optimizer": {"lr": rate}}
            changed.append(one | {"config": config, "fingerprint": f"{one['fingerprint']}{rate}"})
        return changed

    table = Episodes([*at(0.1, RECORDS[:4]), *at(0.2, [record("none", 0, [10] * 4), record("2", 0, [20] * 4)])]).frame()
    lines = {(line["setting"], line["layer"]): line for line in table.to_dict("records")}
    assert len(lines) == 4
    assert lines["optimizer.lr=0.2", "2"]["difference"] == pytest.approx(100 * 10 / 75)
    assert lines["optimizer.lr=0.1", "2"]["difference"] < 0


def test_rows_that_met_other_episodes_are_not_paired():
    other = record("2", 0, [1] * 6)
    other["config"] = other["config"] | {"dataset": other["config"]["dataset"] | {"test_episodes": 6}}
    table = Episodes([RECORDS[0], other]).frame()
    assert math.isnan(table["difference"].iloc[1])


def test_rows_of_several_settings_stand_as_in_the_main_table_whatever_their_fingerprints():
    def run(layer: str, rate: float, finished: str, print_of: str) -> dict:
        one = record(layer, 0, [10] * 4)
        config = one["config"] | {"optimizer": {"lr": rate}}
        return one | {"config": config, "finished": finished, "fingerprint": print_of}

    runs = [run("2", 0.3, "2026-03", "2-a"), run("2", 0.1, "2026-01", "2-c"), run("2", 0.2, "2026-02", "2-b")]
    for order in (runs, runs[::-1], [run("none", 0.1, "2026-04", "2-d"), *runs]):
        page, table = Episodes(order).frame(), MainTable(order).frame()
        assert page["setting"].tolist() == table["setting"].tolist()
        assert page["setting"].tolist()[-3:] == [f"optimizer.lr={rate}" for rate in (0.1, 0.2, 0.3)]
