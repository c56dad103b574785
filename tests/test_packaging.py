"""What an installation brings: types, commands, inference without torch; and files that others may read."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import binlit

TOP = Path(__file__).parents[1]
ALONE = """
import sys
import numpy as np
from binlit.runtime import load
model = load(sys.argv[1], kernel="numpy")
print(*model.predict(np.load(sys.argv[2])))
print(*sorted({"torch", "hydra", "pydantic", "lazy_loader", "pandas"} & sys.modules.keys()))
try:
    import binlit
    binlit.run
except AttributeError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> binlit.Record:
    """A net of bits."""
    words = ["model=mlp", "model.hidden=[64]", "model.norm=all", "binary=bnn", "weight=bnn", "estimator=st_clipped"]
    folder = tmp_path_factory.mktemp("packaging")
    return binlit.run([*words, "trainer.max_epochs=1", "threads=1", f"output_dir={folder}"], quiet=True)


def test_inference_needs_numpy_and_safetensors_alone(wheel, run, tmp_path):
    """As `pip install --no-deps binlit numpy safetensors`: the wheel, these two, and nothing else to import."""
    beside = tmp_path / "beside"
    beside.mkdir()
    for name in ("numpy", "safetensors"):
        (where,) = find_spec(name).submodule_search_locations  # type: ignore[union-attr,misc]
        for path in (Path(where), Path(where).with_name(f"{name}.libs")):
            if path.exists():
                (beside / path.name).symlink_to(path)
    assert sum(path.stat().st_size for path in wheel.rglob("*") if path.is_file()) < 5e6
    binlit.load(run.folder).pack(tmp_path / "net.binlit")
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-S", "-c", ALONE, "net.binlit", "images.npy"],  # -S: without site-packages
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{wheel}{os.pathsep}{beside}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    classes, loaded, said = done.stdout.splitlines()
    ours = binlit.runtime.load(tmp_path / "net.binlit", kernel="numpy").predict(images)
    assert classes == " ".join(map(str, ours))
    assert loaded == ""
    assert said.startswith("binlit.run needs what `pip install binlit` brings")


def test_the_wheel_has_types_and_a_command_for_each_module_that_is_one(wheel):
    assert {"py.typed", "__init__.pyi"} <= {path.name for path in (wheel / "binlit").iterdir()}
    entries = configparser.ConfigParser()
    entries.read(next(wheel.glob("binlit-*.dist-info")) / "entry_points.txt")
    commands = dict(entries["console_scripts"])
    mains = {path.stem for path in (TOP / "src/binlit").glob("*.py") if "\ndef main(" in path.read_text()}
    assert commands == {f"binlit-{name}": f"binlit.{name}:main" for name in mains}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_files_have_the_permissions_of_the_process(run, umask, mode, tmp_path, command):
    """What a run, an export or a report writes is for whoever the process lets read, as any program's files are."""
    before = os.umask(umask)
    try:
        words = ["model=mlp", "trainer.max_epochs=1", "threads=1", f"output_dir={tmp_path / 'out'}"]
        binlit.sweep([*words, "seed=0,1", "name=t"])
        assert command("report", str(tmp_path / "out" / "t")).returncode == 0
        binlit.load(run.folder).pack(tmp_path / "out" / "net.binlit")
        best = run.folder / "checkpoints" / "best.ckpt"
        onnx = f"onnx={tmp_path / 'out' / 'net.onnx'}"
        assert command("export", f"checkpoint={best}", f"out={tmp_path / 'out' / 'other.binlit'}", onnx).returncode == 0
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    kinds = {".json", ".ckpt", ".md", ".csv", ".png", ".jsonl", ".binlit", ".onnx", ".yaml"}
    assert kinds <= {path.suffix for path in files}
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in files if path.stat().st_mode & 0o777 != mode} == {}


def test_make_help_lists_every_target():
    text = (TOP / "Makefile").read_text()
    targets = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split()
    shown = subprocess.run(["make", "-C", TOP, "help"], capture_output=True, text=True, check=True).stdout
    assert set(targets) <= set(re.findall(r"^ *make (\S+)", shown, re.MULTILINE))


def test_the_version_and_the_authors_are_the_same_everywhere():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    citation = (TOP / "CITATION.cff").read_text()
    assert f"version: {binlit.__version__}" in citation
    assert f'name: "{project["authors"][0]["name"]}"' in citation
    assert f"## {binlit.__version__}" in (TOP / "CHANGELOG.md").read_text()
