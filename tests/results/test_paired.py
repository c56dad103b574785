"""Paired differences against scipy, and accuracy against passes, on records made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats

from binlit.results.pages.paired import Paired
from binlit.results.pages.passes import Passes
from binlit.running.passes import passes_of

DOCS = Path(__file__).parents[2] / "docs" / "results"


def record(anneal: str, seed: int, accuracy: float, layer: str = "1") -> dict:
    return {
        "status": "ok",
        "seed": seed,
        "row": {"layer": layer, "mode": "stochastic", "estimator": "st", "anneal": anneal},
        "metrics": {"test/acc": accuracy},
        "curve": [{"site/a/flat": 0.9}, {"site/a/flat": 0.25 if anneal == "none" else 0.75}],
    }


def test_differences_are_paired_by_seed_and_their_interval_is_that_of_the_t_test():
    base, other = [0.90, 0.95, 0.97], [0.91, 0.965, 0.975]
    records = [record("none", s, a) for s, a in enumerate(base)] + [record("cosine", s, a) for s, a in enumerate(other)]
    records += [record("cosine", 7, 0.1), record("none", 0, 0.5, layer="none")]  # no partner; no binary layer
    paired = Paired(records[::-1], asked="anneal=none")
    table = paired.frame()
    (line,) = table.to_dict("records")
    result = stats.ttest_rel(other, base)
    low, high = result.confidence_interval(0.95)
    assert line["n"] == 3
    assert line["difference"] == pytest.approx(100 * (low + high) / 2)
    assert line["difference_ci95"] == pytest.approx(100 * (high - low) / 2)
    assert (line["flat"], line["flat_base"]) == (0.75, 0.25)
    page = paired.markdown(table)
    assert "| 1 | stochastic | st | cosine | 3 | +1.00 ± " in page


def test_a_base_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="anneal=linear has no row to compare with; anneal is cosine, none here"):
        Paired([record("none", 0, 0.9), record("cosine", 0, 0.9)], asked="anneal=linear").frame()


def test_passes_are_counted_on_the_net():
    lines = (DOCS / "mnist_table" / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    wanted = {("none", "none"): 1, ("all", "st"): 1, ("1", "rloo"): 4, ("2", "rloo"): 8, ("all", "rloo"): 32}
    for (layer, estimator), passes in wanted.items():
        one = next(r for r in records if (r["row"]["layer"], r["row"]["estimator"]) == (layer, estimator))
        assert passes_of(one) == passes
    table = Passes(records[:3], asked=passes_of).frame()
    assert list(table.columns) == ["layer", "estimator", "passes", "accuracy", "n"]
