"""The notebook docs/tour.ipynb runs, cell by cell, and shows what its text says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tour.ipynb"


def test_the_tour_runs_and_what_it_says_is_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    room: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"tour.ipynb, cell {number}", "exec"), room)
    assert "did you mean binary.layer?" in capsys.readouterr().out
    assert room["real"]["metrics"]["test/acc"] > room["bits"]["metrics"]["test/acc"] > 0.85
    assert room["accuracy"] == room["bits"]["metrics"]["test/acc"]
    assert room["weights"].unique().tolist() == [-1, 1]
    assert room["same"] == 1
    assert room["real_bytes"] > 20 * room["size"]
    assert room["losses"].mean() < math.log(10) / 2


def test_the_tour_is_a_notebook_without_outputs():
    """As nbformat 4.5 has it; outputs are made where it is run."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])
