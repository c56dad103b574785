"""README's tables and links are so, all committed tables come out of their records, and the wheel can be installed.

Commands and code of README and docs: tests/docs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from binlit.results.text import insert_table

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
PAGES = {"passes.md": ["--passes"], "episodes.md": [], "sites.md": ["--sites"]}
TABLES = sorted(path.parent for path in (TOP / "docs" / "results").glob("*/records.jsonl"))


def test_make_has_the_targets():
    targets = re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.M)
    assert {"setup", "demo", "test", "lint", "docs", "table-mnist"} <= set(targets)


def test_readme_shows_a_table_without_holes():
    tables = re.findall(r"<!-- table: (\w+) -->(.*?)<!-- end of table -->", README, re.S)
    assert tables
    for name, table in tables:
        assert (TOP / "docs" / "results" / name / "records.jsonl").exists()
        assert "missing" not in table
        assert "failed" not in table


def test_the_page_on_packed_nets_shows_the_record(tmp_path):
    page = tmp_path / "packed.md"
    page.write_text((TOP / "docs" / "packed.md").read_text(encoding="utf-8"), encoding="utf-8")
    bench = [sys.executable, str(TOP / "scripts" / "bench_packed.py")]
    record = TOP / "docs" / "results" / "packed" / "bench.json"
    subprocess.run([*bench, "--from", str(record), "--page", str(page)], check=True, capture_output=True)
    assert page.read_text(encoding="utf-8") == (TOP / "docs" / "packed.md").read_text(encoding="utf-8")


def test_links_of_readme_and_docs_lead_somewhere():
    for page in [TOP / "README.md", *(TOP / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("folder", TABLES, ids=lambda path: path.name)
def test_tables_are_what_the_records_say(folder, tmp_path, command):
    """The committed table comes out of the committed records again, and the README shows that table."""
    title = (folder / "table.md").read_text().splitlines()[0].removeprefix("# ")
    again = [str(folder), "--out", str(tmp_path), "--title", title]
    names = ["records.jsonl", "table.csv", "table.md"]
    for name, options in PAGES.items():
        if (folder / name).exists():
            again += options
            names.append(name)
    if (folder / "paired.md").exists():
        (base,) = re.findall(r"^# Against (\S+), paired", (folder / "paired.md").read_text())
        again += ["--against", base]
        names.append("paired.md")
    done = command("report", *again)
    assert done.returncode == 0, done.stderr
    changed = [name for name in names if (tmp_path / name).read_bytes() != (folder / name).read_bytes()]
    assert not changed
    records = (folder / "records.jsonl").read_text()
    assert '"data_dir"' not in records  # no folder of the machine that made them
    assert '"output_dir"' not in records
    if f"<!-- table: {folder.name} -->" in README:
        page = tmp_path / "README.md"
        page.write_text(README, encoding="utf-8")
        insert_table(page, folder)
        assert page.read_text(encoding="utf-8") == README


def test_a_page_without_marks_is_refused(tmp_path):
    (tmp_path / "page.md").write_text("nothing here")
    with pytest.raises(ValueError, match="has no place for the table: add the lines"):
        insert_table(tmp_path / "page.md", tmp_path)


def test_the_wheel_runs_from_any_folder(wheel, tmp_path):
    """Built as a user would build it, unpacked beside nothing of the repository: conf/ and the sweeper are inside."""
    site, elsewhere = wheel, tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *words], cwd=elsewhere, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("-c", "import binlit.paths as p; print(p.PACKAGE, p.config_dir())").split()
    assert where == [str(site / "binlit"), str(site / "binlit" / "conf")]
    found = "import binlit, hydra_plugins.binlit_sweeper as s; print(s.__file__)"
    assert run("-c", found).strip() == str(site / "hydra_plugins" / "binlit_sweeper.py")
    quick = ["model=mlp", "trainer.max_epochs=1", "dataset.batch_size=256", "threads=1"]
    assert "test accuracy" in run("-m", "binlit.train", *quick)
    assert "2 to run" in run("-m", "binlit.train", "-m", *quick, "seed=1,2", "name=t")
    assert "accuracy %" in run("-m", "binlit.report", "outputs/t")
