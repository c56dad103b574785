"""What a config from a file may name: binlit's own options in their own groups, and the user's classes once named."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from binlit import evaluate, export
from binlit.catalogue.trust import check_classes, named_classes
from binlit.config import check
from binlit.errors import ConfigError
from binlit.paths import config_dir
from binlit.running.passes import passes_of
from binlit.running.start import starting_point
from binlit.train import train
from in_process import exit_status

Change = Callable[[dict[str, Any]], Any]
BNN = ["binary=bnn", "weight=bnn", "estimator=st_clipped", "model.hidden=[16]", "model.norm=all"]
QUICK = ["model=mlp", "logger=none", "trainer.enable_progress_bar=false", "threads=1", "trainer.max_epochs=1"]
SYSTEM = {"_target_": "os.system", "command": "touch code-ran"}


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return check(compose("config", overrides=list(overrides)))


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return composed(*QUICK, *BNN, "logger=default", "callbacks=probe", "scheduler=cosine")


def test_every_option_of_binlits_own_may_be_named():
    groups = ("anneal", "callbacks", "dataset", "logger", "model", "optimizer", "scheduler", "task", "weight")
    options = {group: sorted(path.stem for path in (config_dir() / group).glob("*.yaml")) for group in groups}
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for number in range(max(map(len, options.values()))):
            words = [f"{group}={names[number % len(names)]}" for group, names in options.items()]
            cfg: Any = OmegaConf.to_container(compose("config", overrides=words))
            assert check_classes(_without_interpolations(cfg), "x.ckpt") == []


def _without_interpolations(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_interpolations(value) for key, value in node.items()}
    return None if isinstance(node, str) and "${" in node else node


def test_every_published_record_may_be_tested_again():
    pages = (config_dir().parent / "docs" / "results").glob("*/records.jsonl")
    records = [json.loads(line) for page in pages for line in page.read_text().splitlines()]
    configs = [record["config"] for record in records if "model" in record["config"]]
    assert len(configs) > 400
    assert all(check_classes(cfg, "a record") == [] for cfg in configs)


def _at(*place: Any, **node: Any) -> Change:
    """Sets a node, or adds to the one that is there."""

    def change(cfg: dict[str, Any]) -> None:
        *above, last = place
        for key in above:
            cfg = cfg[key]
        there = cfg[last] if not isinstance(cfg, dict) or last in cfg else {}
        cfg[last] = {**(there if isinstance(there, dict) else {}), **node}

    return change


FOREIGN: dict[str, Change] = {
    "a known option's name": _at("model", **SYSTEM),
    "a name of its own": lambda cfg: cfg.update(model={"name": "mine", **SYSTEM}),
    "the net's estimator": _at("estimator", **SYSTEM),
    "the weights' estimator": _at("weight", "estimator", **SYSTEM),
    "a callback": _at("callbacks", "best", **SYSTEM),
    "one more callback": _at("callbacks", "more", **SYSTEM),
    "a logger": _at("logger", "csv", **SYSTEM),
    "the trainer": _at("trainer", **SYSTEM),
    "a value": _at("model", "activation", **SYSTEM),
    "in a list": lambda cfg: cfg["model"].update(hidden=[SYSTEM]),
    "in a list in a list": lambda cfg: cfg["model"].update(hidden=[[1, {"deep": SYSTEM}]]),
    "in a tuple": lambda cfg: cfg["trainer"].update(plugins=(SYSTEM,)),
    "in no group": lambda cfg: cfg["row"].update(SYSTEM),
    "at the top": lambda cfg: cfg.update(SYSTEM),
    "in a group that there is not": lambda cfg: cfg.update({"../estimator": SYSTEM}),
    "to be called later": _at("scheduler", **SYSTEM, _partial_=True),
    "through a module that is known": _at("model", _target_="binlit.running.build.os.system"),
    "through a class that is known": _at("model", _target_="binlit.model.Mlp.__init__"),
    "another option's": _at("model", _target_="binlit.model.Conv4"),
    "another group's": lambda cfg: cfg.update(task={"name": "mine", "_target_": "binlit.model.Mlp"}),
    "a nested one of its own": _at("dataset", "extra", _target_="binlit.dataset.Digits"),
    "a name with blanks": _at("model", _target_=" binlit.model.Mlp"),
    "no text": _at("model", _target_=["os.system"]),
    "nothing": _at("model", _target_=None),
    "arguments": _at("model", _args_=[1]),
    "conversion": _at("model", _convert_="object"),
    "recursion": _at("optimizer", _recursive_=True),
    "later, where options do not": _at("model", _partial_=True),
    "an interpolation": _at("model", activation="${oc.env:HOME}"),
    "an interpolation for a class": _at("model", _target_="${oc.decode:os.system}"),
    "an interpolation in a list": lambda cfg: cfg["model"].update(sites=["a", "${oc.env:HOME}"]),
}  # fmt: skip


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_anything_else_is_refused(config, change):
    saved = copy.deepcopy(config)
    assert check_classes(saved, "x.ckpt") == []
    change(saved)
    with pytest.raises(ConfigError, match=r"^x\.ckpt is refused: ") as raised:
        check_classes(saved, "x.ckpt")
    assert len(str(raised.value).splitlines()) == 1


def test_containers_that_never_end_are_refused(config):
    saved, loop = copy.deepcopy(config), []
    loop.append(loop)
    saved["row"]["loop"] = loop
    with pytest.raises(ConfigError, match="nested deeper"):
        check_classes(saved, "x.ckpt")


def test_a_class_that_the_user_names_is_let_through_and_told(config):
    saved = copy.deepcopy(config)
    saved["dataset"] = {"name": "mine", "_target_": "my.data.Mine", "inner": {"_target_": "my.data.Part"}}
    with pytest.raises(
        ConfigError, match=r"dataset names my\.data\.Mine, .*; if it is your own, write trust=\[my\.dat"
    ):
        check_classes(saved, "x.ckpt")
    with pytest.raises(ConfigError, match=r"dataset\.inner names my\.data\.Part"):
        check_classes(saved, "x.ckpt", ["my.data.Mine"])
    assert check_classes(saved, "x.ckpt", ["my.data.Mine", "my.data.Part"]) == ["my.data.Mine", "my.data.Part"]
    assert {"my.data.Mine", "my.data.Part"} <= named_classes(saved)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(composed(*QUICK, *BNN), folder)
    return folder


def rewritten(run: Path, target: Path, change: Change) -> Path:
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    change(saved["config"])
    torch.save(saved, target)
    return target


MODULE = """
from pathlib import Path
from binlit.dataset import Digits
Path("imported").touch()
class Mine(Digits):
    pass
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user's that leaves a mark when it is imported, in a folder that Python looks into."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_data.py").write_text(MODULE)
    yield "my_data.Mine"
    sys.modules.pop("my_data", None)


def test_export_builds_what_the_user_names_alone(run, module, tmp_path, capsys):
    path = rewritten(run, tmp_path / "x.ckpt", lambda cfg: cfg["dataset"].update(name="mine", _target_=module))
    assert exit_status(export.main, [f"checkpoint={path}"]) == 2
    assert f"x.ckpt is refused: dataset names {module}" in capsys.readouterr().err
    assert not (tmp_path / "imported").exists()
    assert not (tmp_path / "x.binlit").exists()
    assert exit_status(export.main, [f"checkpoint={path}", f"trust=[{module}]"]) == 0
    assert f"x.ckpt: builds {module}, which is none of binlit's" in capsys.readouterr().out
    assert (tmp_path / "imported").exists()


def test_evaluate_builds_what_the_user_names_alone(run, module, tmp_path, capsys):
    path = rewritten(run, tmp_path / "x.ckpt", lambda cfg: cfg["dataset"].update(name="mine", _target_=module))
    assert exit_status(evaluate.main, [f"checkpoint={path}"]) == 2
    complaint = capsys.readouterr().err
    assert f"x.ckpt is refused: dataset names {module}" in complaint
    assert len(complaint.splitlines()) == 1
    assert not (tmp_path / "imported").exists()
    assert exit_status(evaluate.main, [f"checkpoint={path}", f"trust=[{module}]"]) == 0
    assert f"x.ckpt: builds {module}, which is none of binlit's" in capsys.readouterr().out
    assert exit_status(evaluate.main, [f"checkpoint={path}", "trust=[1]"]) == 2
    assert "trust=[1] is not allowed; write the classes as trust=[my.module.Net]" in capsys.readouterr().err


@pytest.mark.parametrize("command", [evaluate, export])
def test_an_option_in_a_folder_of_the_users_names_its_class(run, module, tmp_path, capsys, command):
    path = rewritten(run, tmp_path / "x.ckpt", lambda cfg: cfg["dataset"].update(name="mine", _target_=module))
    (tmp_path / "own" / "dataset").mkdir(parents=True)
    (tmp_path / "own" / "dataset" / "mine.yaml").write_text(f"defaults: [digits]\nname: mine\n_target_: {module}\n")
    (tmp_path / "own" / "dataset" / "broken.yaml").write_text("{")
    assert exit_status(command.main, [f"checkpoint={path}", "-cd", str(tmp_path / "own")]) == 0
    assert f"builds {module}, which is none of binlit's" in capsys.readouterr().out


def test_a_run_goes_on_from_classes_alone_that_its_own_config_names(run, module, tmp_path):
    path = rewritten(run, tmp_path / "x.ckpt", lambda cfg: cfg["dataset"].update(name="mine", _target_=module))
    cfg = composed(*QUICK, *BNN, f"ckpt_path={path}")
    with pytest.raises(ConfigError, match=r"ckpt_path=.*x\.ckpt is refused: dataset names my_data\.Mine"):
        starting_point(cfg, tmp_path / "on")
    cfg["dataset"]["_target_"] = module
    assert starting_point(cfg, tmp_path / "on").path == path


def test_a_record_is_no_way_around(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for change in (_at("model", **SYSTEM), _at("estimator", **SYSTEM)):
        saved = copy.deepcopy(config)
        change(saved)
        with pytest.raises(ConfigError, match=r"the record of digits is refused: \w+ names os\.system"):
            passes_of({"config": saved, "experiment": "digits"})
    assert list(tmp_path.iterdir()) == []
