"""The worked example of docs/extending.md: its files, written out, are parts that train and are tested again."""

from __future__ import annotations

import json
import runpy
import sys

import pytest

from pages import commands, text, titled

PAGE = "docs/extending.md"
FILES = titled(PAGE)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The folder that the page builds, on the path of modules as `python -m` has it."""
    for name, body in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(body, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_parts", None)


def test_the_page_lists_the_files_that_it_builds():
    listed = text(PAGE).partition("```text\n")[2].partition("```")[0].split()
    assert {name for name in FILES if not name.startswith("check_")} == set(listed)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("check_")])
def test_a_check_of_the_page_holds(written, name):
    runpy.run_path(str(written / name))


def test_its_commands_run_and_the_parts_learn(written, command):
    for words in commands(PAGE):
        module, *settings = words[2:]
        quick = ["threads=1", "logger=none"] if module == "binlit.train" else []
        done = command(module.removeprefix("binlit."), *settings, *quick)
        assert done.returncode == 0, (words, done.stderr)
    records = [json.loads(path.read_text()) for path in written.glob("outputs/stripes/*/result.json")]
    assert {record["row"]["estimator"] for record in records if record["row"]["layer"] == "all"} == {
        "soft_sign",
        "batch_baseline",
    }
    accuracy = {record["row"]["estimator"]: record["metrics"]["test/acc"] for record in records}
    assert accuracy["soft_sign"] > 0.9
