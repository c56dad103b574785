"""What options say of themselves in conf/ is true of their classes, and said for all of them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class
from pydantic import TypeAdapter
from torch import nn

import binlit
from binlit.binary import binarize
from binlit.catalogue import GROUPS, expand, facts_of, files, option, packaged, split
from binlit.catalogue.options import FIXED
from binlit.catalogue.ranges import annotation
from binlit.command.words import check_choice
from binlit.errors import ConfigError
from binlit.estimator import ESTIMATORS
from binlit.running.build import example_images
from in_process import composed

BUILT = [(group, name) for group in GROUPS for name, one in packaged(group).items() if one.target]


@pytest.mark.parametrize("name", packaged("estimator"))
def test_the_kind_of_an_estimator_is_that_of_its_class(name):
    facts, rule = packaged("estimator")[name].facts, ESTIMATORS[name]
    assert (facts.kind == "score_function") == rule.score_function
    assert (facts.kind == "relaxation") == (rule.needs_chance and not rule.score_function)
    assert (facts.kind != "pathwise") == rule.needs_logit
    assert facts.shares_losses == rule.shares_losses


ELSEWHERE = {other: name for name, one in packaged("estimator").items() for other in one.facts.also_known_as}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_used_elsewhere_leads_to_ours_from_python_and_from_the_command_line(name):
    assert name not in packaged("estimator")
    said = rf"did you mean {ELSEWHERE[name]}\?"
    for written in (name, name.upper(), name.replace("_", "-")):
        with pytest.raises(ValueError, match=said):
            binarize(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), 1, written)
        with pytest.raises(ConfigError, match=said):
            check_choice("estimator", written, [])


def test_the_names_that_people_look_for_are_there():
    wanted = {
        "zgr": "reinmax", "loorf": "rloo", "vargrad": "rloo", "go": "local_expectation", "arsm": "arm",
        "multi_sample_disarm": "arms",
    }  # fmt: skip
    assert wanted.items() <= ELSEWHERE.items()
    assert sum(len(one.facts.also_known_as) for one in packaged("estimator").values()) == len(ELSEWHERE)  # each once


@pytest.mark.parametrize(("group", "name"), BUILT)
def test_every_setting_has_a_range_that_takes_its_default_and_that_its_class_knows(group, name):
    one = packaged(group)[name]
    for key, value in one.defaults.items():
        if "${" not in str(value) and key != "classes":  # a name of classes becomes a number
            TypeAdapter(annotation(one.ranges[key])).validate_python(value, strict=True)
        assert one.ranges[key] != "anything", f"{group}={name} states no range for {key}, whose default says none"
    known = inspect.signature(get_class(str(one.target))).parameters
    if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in known.values()):
        strange = set(one.defaults) - set(known) - ({"surrogate"} if group == "estimator" else set())
        assert not strange, f"{one.target} takes no {strange}"


@pytest.mark.parametrize("file", files("model"))
def test_the_sites_and_layers_of_a_net_are_there_in_order(file):
    data = "glyphs_fewshot" if files("model")[file].facts.gives == "embedding" else "digits"
    task = "few_shot" if data == "glyphs_fewshot" else "classification"
    cfg = composed([f"model={file}", f"dataset={data}", f"task={task}", "binary=none"])
    model = cfg["model"]
    keys = {key: value for key, value in model.items() if key not in (*FIXED, "sites", "layers")}
    with torch.device("meta"):
        net: Any = get_class(model["_target_"])(**keys)
    names = [name for name, _ in net.named_modules()]
    assert [name for name in names if name in model["sites"]] == model["sites"]
    weighted = [name for name, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert [name for name in weighted if name in model["layers"]] == model["layers"]
    assert example_images(cfg).shape[1] == cfg["dataset"].get("channels", 1)


def test_names_are_counted_by_widths():
    assert expand("stem conv{1..2*widths} last", {"widths": [8, 16]}) == [
        "stem",
        *(f"conv{i}" for i in range(1, 5)),
        "last",
    ]
    assert expand("fc{7..8}", {}) == ["fc7", "fc8"]
    assert expand(["a", "b"], {}) == ["a", "b"]


@pytest.mark.parametrize("text", ["act{1..depth}", "act{a..3}", "act{1..x*widths}", "act{}"])
def test_names_that_cannot_be_counted_are_refused(text):
    with pytest.raises(ConfigError, match=r"names no layers|counts no layers"):
        expand(text, {"widths": [8], "depth": 3})


def test_an_option_of_ones_own_states_the_same():
    built = {"name": "mine", "_target_": "mine.Rule", "draws": 4}
    node = built | {"kind": "score_function", "keys": {"draws": "integer >= 2"}}
    one = option("estimator", node)
    assert one.own
    assert one.facts.kind == "score_function"
    assert one.ranges == {"draws": "integer >= 2"}
    assert split("estimator", node)[0] == built


@pytest.mark.parametrize(
    ("group", "stated", "said"),
    [
        ("estimator", {}, "estimator=mine does not state its kind; add 'kind: pathwise' to its YAML"),
        ("estimator", {"kind": "score"}, "estimator=mine states kind: 'score'"),
        ("estimator", {"kind": "pathwise", "keys": {"a": "number bigger"}}, "estimator=mine: a range among its keys"),
        ("dataset", {"gives": "pictures"}, "dataset=mine states gives: 'pictures'"),
        ("model", {}, "model=mine does not state its sites"),
    ],
)
def test_what_an_own_option_leaves_out_is_said(group, stated, said):
    with pytest.raises(ConfigError) as caught:
        option(group, {"name": "mine", "_target_": "mine.Thing", **stated})
    assert said in str(caught.value)


def test_no_list_of_names_stands_in_the_code():
    """Code asks the catalogue: two names of options side by side would be a list that a new option is missing from."""
    names = {group: set(packaged(group)) for group in ("dataset", "model", "estimator", "task", "weight")}
    lists = []
    for path in Path(binlit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            values = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", None)
            said = {value.value for value in values or () if isinstance(value, ast.Constant)}
            lists += [(path.name, said & known) for known in names.values() if len(said & known) > 1]
    assert lists == []


def test_what_an_own_option_stated_is_read_from_a_saved_config():
    ours = {"task": {"name": "few_shot"}}
    own = {"task": {"name": "mine"}, "own": {"task": {"takes": {"data": "episodes"}, "shares_losses": True}}}
    for saved in (ours, own):
        assert facts_of(saved, "task").takes["data"] == "episodes"
        assert facts_of(saved, "task").shares_losses
    assert facts_of({"task": {"name": "other"}}, "task").takes == {}
