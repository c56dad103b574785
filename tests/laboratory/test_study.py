"""The entry point, from the command line to table and pictures, and the report made again from its records."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

SMALL = ("estimators=[st,rloo,disarm,detached]", "units=[[4]]", "steps=[0]", "draws=2000", "settle=5",
         "toys.targets=[0.45]", "toys.steps=20", "toys.copies=50")  # fmt: skip


def test_a_small_study_writes_records_table_and_pictures(command, tmp_path):
    done = command("gradients", *SMALL)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "outputs" / "gradients"
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert [r["estimator"] for r in records if r["kind"] == "enumeration"] == ["st", "rloo", "disarm", "detached"]
    assert len(records) == 8
    table = pd.read_csv(out / "table.csv").set_index("estimator")
    assert table["passes"].to_dict() == {"st": 1, "rloo": 4, "disarm": 2, "detached": 1}
    assert table.loc["rloo", "bias"] < 5 * table.loc["rloo", "bias_error"]
    assert table.loc["detached", "bias"] == 1.0
    for name in ("gradients.png", "toys.png", "table.md"):
        assert (out / name).stat().st_size > 500
    before = (out / "table.md").read_text()
    again = command("report", str(out), "--out", str(tmp_path / "docs"))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "docs" / "table.md").read_text() == before
    assert (tmp_path / "docs" / "records.jsonl").read_text() == (out / "records.jsonl").read_text()


def test_the_same_seed_gives_the_same_figures(command, tmp_path):
    tables = []
    for name in ("a", "b"):
        words = [word for word in SMALL if "targets" not in word]
        done = command("gradients", *words, "toys.targets=[]", f"output_dir={name}")
        assert done.returncode == 0, done.stderr
        tables.append(pd.read_csv(tmp_path / name / "table.csv").drop(columns="microseconds"))
    pd.testing.assert_frame_equal(*tables)


OWN = """
from binlit.estimator import ESTIMATORS
class Mine(ESTIMATORS["rloo"]):
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_rules.py").write_text(OWN)
    (tmp_path / "own" / "estimator").mkdir(parents=True)
    yield tmp_path / "own" / "estimator"
    sys.modules.pop("my_rules", None)


@pytest.mark.parametrize(
    "text",
    ["kind: score_function\nkeys: {draws: draws}\nsurrogate: logistic\ndraws: 3\n", "defaults: [rloo]\ndraws: 3\n"],
)
def test_an_own_estimator_is_measured_beside_binlits(command, tmp_path, own, text):
    (own / "mine.yaml").write_text(f"name: mine\n_target_: my_rules.Mine\n{text}")
    words = [word for word in SMALL if not word.startswith(("estimators", "toys"))]
    words += ["toys.targets=[]", "estimators=[mine,rloo]", "+options.rloo.draws=3"]
    done = command("gradients", "-cd", "own", *words)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "outputs" / "gradients" / "table.csv").set_index("estimator")
    assert table.loc["mine", "bias"] == table.loc["rloo", "bias"] < 5 * table.loc["rloo", "bias_error"]
    assert table.loc["mine", "variance"] == table.loc["rloo", "variance"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: mine\n_target_: my_rules.Mine\nsurrogate: logistic\n", "does not state its kind; add 'kind: pathwise'"),
        ("name: mine\n_target_: my_rules.Mine\nkind: score_function\n", "mine has no surrogate; add 'surrogate:"),
        ("kind: score_function\nsurrogate: logistic\n", "options.mine.name is missing"),
        ("{", "mine cannot be read; mend its YAML"),
        ("defaults: [mine]\n", "mine cannot be read; mend its YAML"),
        ("defaults: [nowhere]\n", "nowhere cannot be read; mend its YAML"),
        ("defaults: [rloo]\ndraws: 0\n", "options.mine.draws=0 is not allowed"),
    ],
)
def test_an_own_estimator_that_does_not_say_what_it_is_is_refused(command, tmp_path, own, text, said):
    (own / "mine.yaml").write_text(text)
    done = command("gradients", "-cd", "own", "estimators=[mine]")
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_own_estimator_is_among_the_hints(command, own):
    (own / "mine.yaml").touch()
    assert "did you mean mine?" in command("gradients", "-cd", "own", "estimators=[mne]").stderr
