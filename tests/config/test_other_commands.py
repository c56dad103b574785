"""Slips of the commands beside binlit.train: answered before torch is loaded, in at most three lines."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import binlit
from binlit import evaluate, export, gradients, migrate, report, summary
from binlit.command import entry as cli


def said_by(main, words, monkeypatch, capsys) -> tuple[int, str]:
    """Exit status, and what is on standard error."""
    monkeypatch.setattr("sys.argv", ["binlit", *words])
    monkeypatch.setattr("binlit.running.quick_import.load_libraries", None)
    try:
        status = main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    return status or 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words", "parts"),
    [
        (evaluate, [], ["checkpoint is missing"]),
        (evaluate, ["checkpoint=nowhere"], ["checkpoint=nowhere is no file"]),
        (evaluate, ["checkpoint=junk"], ["cannot be read as a checkpoint"]),
        (evaluate, ["checkpoint="], ["unset shell variable"]),
        (evaluate, ["checkpoint=x", "dataset=mnist"], ["no option of the group 'dataset'", "dataset.way"]),
        (evaluate, ["checkpoint=x", "dataset.wy=3"], ["did you mean dataset.way?"]),
        (evaluate, ["checkpoint=x", "estimator=rloo"], ["no setting 'estimator'"]),
        (evaluate, ["checkpoint=x", "binary.eval=treshold"], ["did you mean threshold?"]),
        (evaluate, ["checkpoint=x", "binary.eval=mean", "binary.eval_draws=1000000000"], ["binary.eval_draws"]),
        (evaluate, ["checkpoint=x", "dataset.test_episodes=1000000000"], ["dataset.test_episodes"]),
        (evaluate, ["checkpoint=x", "threads=1000000"], ["threads=1000000"]),
        (evaluate, ["checkpoint=x", "seed=1", "seed=2"], ["given twice"]),
        (evaluate, ["checkpoint=a=b"], ["quote it"]),
        (evaluate, ["checkpoint=empty", "binary.eval=mean"], ["no finished run under empty"]),
        (export, [], ["checkpoint is missing"]),
        (export, ["checkpoint=nowhere"], ["nowhere is no file"]),
        (export, ["checkpoint=junk"], ["cannot be read as a checkpoint"]),
        (export, ["chekpoint=junk"], ["did you mean checkpoint?"]),
        (export, ["checkpoint=x", "checkpoint=y"], ["given twice"]),
        (export, ["checkpoint=x", "binary.eval=treshold"], ["did you mean threshold?"]),
        (export, ["--foo"], ["--foo is no flag"]),
        (export, ["checkpoint="], ["unset shell variable"]),
        (export, ["checkpoint=empty"], ["checkpoint=empty is no file"]),
        (export, ["checkpoint=a=b"], ["quote it"]),
        (export, ["checkpoint=x", "out="], ["out=''", "unset shell variable"]),
        (export, ["checkpoint=x", "onnx=1"], ["onnx=1 is not allowed"]),
        (export, ["checkpoint=x", "weight.eval=latnt"], ["did you mean latent?"]),
        (export, ["checkpoint=x", "trust=[1]"], ["trust=[1] is not allowed; write the classes as"]),
        (export, ["checkpoint=x", "estimator=rloo"], ["no setting 'estimator'"]),
        (export, ["checkpoint=x", "binary.eval_draws=3"], ["no setting 'binary.eval_draws'", "mean binary.eval?"]),
        (export, ["checkpoint=x,y"], ["checkpoint=x,y is several values"]),
        (export, ["-m", "checkpoint=x,y"], ["about one net; leave -m out"]),
        (export, ["checkpoint=x", "-cd", "nowhere"], ["--config-dir nowhere is no folder"]),
        (summary, ["-m", "binary.layer=1,2"], ["about one net; leave -m out"]),
        (summary, ["binary.layer=1,2"], ["binary.layer=1,2 is several values; for one list, write binary.layer=[1,2]"]),
        (summary, ["binary.layer=77"], ["77"]),
        (summary, ["checkpoint=x"], ["checkpoint"]),
        (summary, ["model.hidden=[0]", "model=mlp"], ["model.hidden=[0]"]),
        (migrate, [], ["required: folders"]),
        (migrate, ["nowhere"], ["nowhere is no folder"]),
        (migrate, ["empty", "--fo"], ["--fo"]),
        (gradients, ["draws=1000000000"], ["draws=1000000000"]),
        (gradients, ["toys.steps=1000000000"], ["toys.steps=1000000000"]),
        (gradients, ["toys.stps=1"], ["did you mean toys.steps?"]),
        (gradients, ["output_dir="], ["unset shell variable"]),
        (gradients, ["estimators=[rlo]"], ["did you mean rloo?"]),
        (report, [], ["required: source"]),
        (report, ["empty", "--fo"], ["--fo"]),
        (report, ["empty", "--into", "nowhere.md"], ["--into nowhere.md is no file"]),
        (report, ["empty", "--into", "junk"], ["has no place for the table"]),
        (report, ["empty", "--out", "junk"], ["--out junk is a file"]),
        (report, ["empty", "--out", ""], ["an empty path"]),
        (report, ["empty", "--against", "x"], ["must be KEY=VALUE"]),
    ],
)  # fmt: skip
def test_a_slip_is_answered_before_torch(command, words, parts, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("junk").write_text("no archive")
    Path("empty").mkdir()
    status, said = said_by(command.main, words, monkeypatch, capsys)
    assert status == 2, said
    assert all(part in said for part in parts), said
    assert 1 <= len(said.strip().splitlines()) <= 3, said
    assert "Traceback" not in said
    assert sorted(path.name for path in Path().iterdir()) == ["empty", "junk"]


@pytest.mark.parametrize("command", [evaluate, export, gradients, migrate, report, summary, cli])
def test_the_version_is_binlits(command, monkeypatch, capsys):
    main = (lambda: cli.run_hydra(lambda _: None)) if command is cli else command.main
    monkeypatch.setattr("sys.argv", ["binlit", "--version"])
    with contextlib.suppress(SystemExit):
        main()
    assert capsys.readouterr().out.strip() == f"binlit {binlit.__version__}"


@pytest.mark.parametrize(
    ("command", "own", "foreign"),
    [(evaluate, "checkpoint", "estimator"), (export, "onnx", "data_dir"), (gradients, "draws", "checkpoint")],
)
def test_help_lists_the_commands_own_settings(command, own, foreign, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["binlit", "--help"])
    with contextlib.suppress(SystemExit):
        command.main()
    shown = capsys.readouterr().out
    assert f"{own}:" in shown
    assert f"{foreign}:" not in shown
    assert "+experiment=" not in shown


def test_help_of_the_summary_lists_what_the_summary_takes(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["binlit", "--help"])
    with contextlib.suppress(SystemExit):
        summary.main()
    shown = capsys.readouterr().out
    assert "python -m binlit.summary +experiment=" in shown
    assert "estimator: approx_sign" in shown
    assert "max_epochs: 10" in shown


def test_no_slip_of_these_loads_torch(cli):
    """In a process of its own: what a command imports before it answers."""
    for module, words in (
        ("summary", ["binary.layer=77"]),
        ("evaluate", ["checkpoint=nowhere"]),
        ("export", ["checkpoint=nowhere"]),
        ("report", ["nowhere"]),
    ):
        done = cli(module, *words, PYTHONPROFILEIMPORTTIME="1")
        assert done.returncode == 2
        assert not [line for line in done.stderr.splitlines() if line.endswith((" torch", " pytorch_lightning"))]
