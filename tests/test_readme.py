"""What the README says is so: its commands, its Python, its table; and the wheel it can be installed from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

from binlit.catalogue import packaged
from binlit.config import check
from binlit.paths import config_dir
from binlit.results.text import insert_table

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.partition("#")[0].split() for line in re.findall(r"^(?:python|make|tensorboard) .*$", README, re.M)]
PAGES = {"passes.md": ["--passes"], "episodes.md": [], "sites.md": ["--sites"]}
TABLES = sorted(path.parent for path in (TOP / "docs" / "results").glob("*/records.jsonl"))


def test_readme_has_the_two_commands_and_make_has_them():
    targets = re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.M)
    assert {command[1] for command in COMMANDS if command[0] == "make"} == {"demo", "test"}
    assert {"setup", "demo", "test", "lint", "table-mnist"} <= set(targets)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[:3] == ["python", "-m", "binlit.train"]], ids=" ".join)
def test_readme_trainings_are_valid(command):
    """Every value of every swept setting composes and passes the check."""
    settings = [word for word in command[3:] if word != "-m" and not word.startswith("hydra/")]
    runs = [[]]
    for setting in settings:
        key, _, value = setting.partition("=")
        runs = [
            [*run, f"{key}={one}"] for run in runs for one in (value.split(",") if "-m" in command[3:] else [value])
        ]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for run in runs:
            check(compose("config", run))


def test_readme_names_every_option():
    groups = ("anneal", "dataset", "estimator", "task")
    missing = {f"{group}={name}" for group in groups for name in packaged(group) if f"`{name}`" not in README}
    assert missing == set()
    assert f"`estimator`: {len(packaged('estimator'))} of them" in README


def test_readme_python_runs():
    first, second = re.findall(r"```python\n(.*?)```", README, re.S)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    room = {"net": net, "x": torch.randn(5, 4), "y": torch.randint(2, (5,)), "F": nn.functional}
    exec(first, room)
    room["net"](room["x"]).sum().backward()
    assert net.get_parameter("0.weight").grad is not None
    other = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    room["net"] = other
    exec(second, room)
    room["loss"].backward()
    weight = other.get_parameter("0.weight").grad
    assert weight is not None
    assert weight.abs().sum() > 0


def test_python_of_the_page_on_binary_weights_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (TOP / "docs" / "binary_weights.md").read_text(encoding="utf-8"), re.S)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Hardtanh(), nn.Linear(8, 2))
    room = {"net": net, "x": torch.randn(5, 4), "y": torch.randint(2, (5,)), "F": nn.functional, "torch": torch}
    exec(f"import binlit\n{code}", room)
    assert set(room["net"][0].weight.unique().tolist()) == {-1.0, 1.0}


def test_commands_of_the_page_on_binary_weights_are_valid():
    page = (TOP / "docs" / "binary_weights.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python -m binlit\.\w+ ([^#\n]*)", page, re.M)
    assert len(commands) == 4
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for command in commands:
            check(compose("config", command.split()))


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
