"""The protocol of a report's pages: each is in the report, says when it applies, and writes what it names."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from binlit.report import main, pages_of
from binlit.results import pages
from binlit.results.page import Page
from binlit.results.pages.main_picture import MOST, draw_table
from binlit.results.pages.main_table import MainTable
from binlit.results.pages.passes import Passes
from binlit.results.pages.sites import Sites

LINES = (Path(__file__).parents[2] / "docs" / "results" / "mnist_table" / "records.jsonl").read_text().splitlines()
RECORDS = [json.loads(line) for line in LINES if json.loads(line)["seed"] == 0]


def asked(**options: object) -> argparse.Namespace:
    usual = {"source": [Path()], "title": None, "against": None, "passes": False, "sites": False}
    return argparse.Namespace(**(usual | options))


def test_every_page_of_the_folder_is_in_the_report():
    modules = [importlib.import_module(f"{pages.__name__}.{one.name}") for one in pkgutil.iter_modules(pages.__path__)]
    there = {
        thing for module in modules for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Page) and thing.__module__ == module.__name__
    }  # fmt: skip
    assert there == {type(page) for page in pages_of(RECORDS, asked())}


def test_a_page_applies_where_it_is_asked_for_or_where_records_have_it():
    def names(records: list[dict], **options: object) -> list[str]:
        return [page.name for page in pages_of(records, asked(**options)) if page.applies()]

    assert names(RECORDS) == ["table"]
    assert names(RECORDS, sites=True, against="anneal=none", passes=True) == ["table", "paired", "sites", "passes"]
    assert names([RECORDS[0] | {"episodes": {"5w1s": [70]}}]) == ["table", "episodes"]
    assert names([RECORDS[0] | {"evaluations": [{}]}]) == ["table", "evaluations"]


def test_a_page_writes_its_text_and_its_picture_and_says_so(tmp_path, capsys):
    class Counted(Page):
        name = "counted"

        def frame(self) -> pd.DataFrame:
            return pd.DataFrame({"n": [len(self.records)]})

        def markdown(self, frame: pd.DataFrame) -> str:
            return f"# {self.title}: {frame['n'][0]}"

        def picture(self, frame: pd.DataFrame) -> Figure:
            return Figure()

    Counted(RECORDS, "runs").write(tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"counted.md", "counted.png"}
    assert (tmp_path / "new" / "counted.md").read_text() == f"# runs: {len(RECORDS)}"
    assert (tmp_path / "new" / "counted.png").read_bytes().startswith(b"\x89PNG")
    out = tmp_path / "new" / "counted"
    assert capsys.readouterr().out == f"written: {out}.md, {out}.png\n"


def test_passes_without_a_binary_layer_have_a_page_and_no_picture():
    plain = [record for record in RECORDS if record["row"]["layer"] == "none"]
    page = Passes(plain, asked=lambda record: 1)
    assert list(page.files(page.frame())) == ["passes.md"]
    rows = [{"layer": "1", "estimator": "st", "passes": 1, "accuracy": 100.0, "n": 1}]
    assert page.picture(pd.DataFrame(rows)) is not None  # no error at all, on an axis without a 0


def test_figures_that_are_missing_or_not_finite_leave_a_dash_and_none_at_all_are_said():
    runs = [RECORDS[0] | {"curve": [{"site/a/ones": None, "site/b/ones": 0.25, "site/b/flat": 0.5}]}]
    page = Sites(runs).markdown(Sites(runs).frame())
    assert "| n | a | b |" in page
    assert "| 1 | – | 25.0 |" in page
    nothing = [RECORDS[0] | {"curve": []}]
    assert Sites(nothing).markdown(Sites(nothing).frame()) == "No run has figures of its sites.\n"


def test_the_picture_of_a_very_long_table_has_its_first_rows_and_says_so():
    table = MainTable(RECORDS).frame()
    long = pd.concat([table] * (MOST // len(table) + 1), ignore_index=True)
    (axes,) = draw_table(long, "t").axes
    assert axes.get_title(loc="left") == f"t: the first {MOST} of {len(long)} rows"
    assert len(axes.get_yticks()) == MOST


@pytest.mark.parametrize("options", [["--sites"], ["--against", "layer=1"]])
def test_a_report_of_its_own_records_writes_the_same_again(options, tmp_path):
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    for source, out in ((tmp_path, tmp_path / "a"), (tmp_path / "a", tmp_path / "b")):
        assert main([str(source), "--out", str(out), *options]) == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 5
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
