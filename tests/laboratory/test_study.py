"""The entry point, from the command line to table and pictures, and the report made again from its records."""

from __future__ import annotations

import json

import pandas as pd

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
