"""Every command of README and docs is one that runs: its words compose and pass the check, its files are there.

The commands that take seconds are run as well: quickstart's and packed's here, extending's in test_extending.
"""

from __future__ import annotations

import re
import tomllib

import pytest
from hydra import compose, initialize_config_dir

import binlit.command.entry  # noqa: F401 - registers the resolvers
from binlit.config import check
from binlit.laboratory.settings import check_study
from binlit.paths import config_dir
from pages import PAGES, README, TOOLS, TOP, commands, inline_commands

RUN_ELSEWHERE = "extending.md"  # needs the files of that page
EVERY = {
    " ".join(words): words
    for page in PAGES
    if page.name != RUN_ELSEWHERE
    for words in commands(page) + inline_commands(page)
}
TRAIN, SUMMARY = ["python", "-m", "binlit.train"], ["python", "-m", "binlit.summary"]
TRAININGS = {line: words[3:] for line, words in EVERY.items() if words[:3] in (TRAIN, SUMMARY)}
OF_FILES = {
    line: words
    for line, words in EVERY.items()
    if words[2:3] in (["binlit.evaluate"], ["binlit.export"], ["binlit.report"])
}
STUDIES = {line: words[3:] for line, words in EVERY.items() if words[2:3] == ["binlit.gradients"]}
SCRIPTS = {line: words for line, words in EVERY.items() if words[1].startswith("scripts/")}
OTHERS = {line: words for line, words in EVERY.items() if words[0] != "python"}


def test_no_command_is_left_unchecked():
    checked = TRAININGS.keys() | OF_FILES.keys() | STUDIES.keys() | SCRIPTS.keys() | OTHERS.keys()
    assert checked == EVERY.keys()
    assert {words[0] for words in EVERY.values()} <= {*TOOLS}
    assert len(EVERY) > 40


@pytest.mark.parametrize("line", TRAININGS)
def test_every_value_of_every_swept_setting_composes_and_passes_the_check(line):
    words = TRAININGS[line]
    swept = "-m" in words
    runs: list[list[str]] = [[]]
    for setting in words:
        key, _, value = setting.partition("=")
        if setting == "-m" or key.startswith("hydra") or "(" in value:  # a range that another sweeper draws from
            continue
        values = re.split(r",(?![^\[]*\])", value) if swept else [value]
        runs = [[*run, f"{key}={one}"] for run in runs for one in values]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for run in runs:
            check(compose("config", run))


@pytest.mark.parametrize("line", OF_FILES)
def test_a_command_on_files_takes_its_words_and_misses_the_files_alone(line, command):
    module, *words = OF_FILES[line][2:]
    done = command(module.removeprefix("binlit."), *words)
    assert done.returncode == 2
    missing = words[0].removeprefix("checkpoint=")
    assert missing in done.stderr
    assert re.search(r"is no file|no result\.json|no such|not exist|no records?", done.stderr), done.stderr


@pytest.mark.parametrize("line", STUDIES)
def test_a_study_of_gradients_passes_its_check(line):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        check_study(compose("gradients", STUDIES[line]))


@pytest.mark.parametrize("line", SCRIPTS)
def test_a_script_is_there_with_its_options(line):
    _, script, *words = SCRIPTS[line]
    source = (TOP / script).read_text(encoding="utf-8")
    assert all(f'"{word}"' in source for word in words if word.startswith("--"))


@pytest.mark.parametrize("line", OTHERS)
def test_a_target_or_an_extra_is_there(line):
    tool, *words = OTHERS[line]
    if tool == "make":
        assert re.search(rf"^{words[0]}:", (TOP / "Makefile").read_text(), re.M)
    elif tool == "pip":
        extras = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert words[0] == "install"
        assert words[1:] == ["-e", "."] or words[1].removeprefix("binlit[").rstrip("]") in extras
    else:
        assert words == ["--logdir", "outputs"]


def test_the_commands_of_readme_are_the_few_that_matter():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert [words for words in commands(README) if words[0] == "make"] == [["make", "demo"], ["make", "test"]]
    assert len([words for words in commands(README) if words[0] == "python"]) == 5


QUICK = ["model=mlp", "trainer.max_epochs=1", "dataset.batch_size=256", "threads=1", "logger=none"]


def test_the_quickstart_runs_from_top_to_bottom(command):
    """In short trainings of a small net; real data is not read, and TensorBoard not started."""
    printed = ""
    for words in commands("docs/quickstart.md"):
        if words[0] != "python" or "+experiment=mnist" in words:
            continue
        module, *settings = words[2:]
        quick = [word for word in QUICK if not any(s.startswith(word.split("=")[0]) for s in settings)]
        if "binary.layer=2" in settings or "binary.layer=null,1,2" in settings:
            quick.append("model.hidden=[32,16]")
        done = command(module.removeprefix("binlit."), *settings, *(quick if module == "binlit.train" else []))
        assert done.returncode == 0, (words, done.stderr)
        printed = done.stdout
    assert "accuracy %" in printed
    assert "evaluations.md" in printed
