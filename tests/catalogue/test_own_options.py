"""Options of a user's own, in a folder outside the package, are treated as binlit's are."""

from __future__ import annotations

from pathlib import Path

import pytest

from binlit.catalogue.build import build
from binlit.config import fingerprint, row_of
from binlit.errors import ConfigError
from in_process import composed

MINE = """
name: mine
_target_: my_rules.Mine
kind: score_function
per_site: draws
fewest_draws: 2
keys:
  draws: draws | some draws
  strength: positive
surrogate: logistic
draws: ${passes:3,1}
repeat_at: site
strength: 1.0
"""
TINY = """
name: tiny
_target_: my_nets.Tiny
takes: [inputs, classes]
sites: act{1..widths}
layers: fc{1..widths} last
keys:
  widths: some width
widths: [20, 10]
"""


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    for group, name, text in (("estimator", "mine", MINE), ("model", "tiny", TINY)):
        (tmp_path / group).mkdir()
        (tmp_path / group / f"{name}.yaml").write_text(text)
    return ["-cd", str(tmp_path)]


def test_an_own_score_function_gets_the_recipe_of_score_functions(own):
    ours = composed(["+experiment=mnist", "estimator=rloo"])
    cfg = composed([*own, "+experiment=mnist", "estimator=mine"])
    for group in ("optimizer", "scheduler", "trainer"):
        assert cfg[group] == ours[group]
    assert cfg["estimator"]["draws"] == ours["estimator"]["draws"] == [4, 8]
    assert row_of(cfg)["estimator"] == "mine"
    assert composed([*own, "estimator=mine"])["estimator"]["draws"] == 3


def test_an_own_net_follows_the_data_and_its_widths(own):
    cfg = composed([*own, "model=tiny", "model.widths=[30,20,10]", "binary.layer=3"])
    assert cfg["model"]["sites"] == ["act1", "act2", "act3"]
    assert cfg["model"]["layers"] == ["fc1", "fc2", "fc3", "last"]
    assert (cfg["model"]["inputs"], cfg["model"]["classes"]) == (784, 10)


def test_what_an_option_states_changes_no_outcome(own, tmp_path):
    before = fingerprint(composed([*own, "estimator=mine"]))
    path = tmp_path / "estimator" / "mine.yaml"
    path.write_text(path.read_text().replace("name: mine", "name: mine\nfamily: coupled\norder: 7"))
    assert fingerprint(composed([*own, "estimator=mine"])) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["estimator=mine", "estimator.strength=-1"], "estimator.strength=-1 is not allowed"),
        (["estimator=mine", "estimator.draws=1"], "estimator.draws=1: mine needs at least 2"),
        (["estimator=mine", "binary.surrogate=hard_sigmoid"], "estimator=mine is a score function and needs"),
        (["estimator=mine", "estimator.kind=pathwise", "binary.layer=7"], "binary.layer=7 does not exist"),
        (["model=tiny", "binary.layer=3"], "model 'tiny' has 2 sites"),
        (["model=tiny", "task=few_shot", "dataset=glyphs_fewshot"], "model=tiny does not fit task=few_shot"),
        (["estimator=rloo", "estimator.kind=pathwise"], "estimator.kind='pathwise' is what estimator=rloo is"),
    ],
)
def test_checks_and_hints_are_those_of_binlits_own(own, words, said):
    with pytest.raises(ConfigError) as caught:
        composed([*own, *words])
    assert said in str(caught.value)


def test_an_estimator_without_its_kind_is_told_to_state_it(own, tmp_path):
    path = tmp_path / "estimator" / "mine.yaml"
    path.write_text(path.read_text().replace("kind: score_function\n", ""))
    with pytest.raises(ConfigError, match=r"estimator=mine does not state its kind; add 'kind: pathwise' to its YAML"):
        composed([*own, "estimator=mine"])


@pytest.mark.parametrize(
    ("line", "broken", "said"),
    [
        (
            "strength: positive",
            "strength: number > beta",
            r"strength: 'number > beta' is bounded by beta, which",
        ),
        (
            "strength: positive",
            "strength: nubmer > 0",
            r"strength: 'nubmer > 0' is no kind.*mean number\?",
        ),
        ("strength: positive", "strength: [1, 2]", r"strength: '\[1, 2\]' is no kind of value"),
        ("name: mine\n", "", r"estimator\.name is missing"),
    ],
)
def test_what_is_wrong_with_an_own_yaml_is_told_by_its_name(own, line, broken, said):
    path = Path(own[1]) / "estimator" / "mine.yaml"
    path.write_text(MINE.replace(line, broken))
    with pytest.raises(ConfigError, match=said):
        composed([*own, "+experiment=mnist", "estimator=mine"])


def test_a_bound_by_another_setting_holds_for_own_options(own):
    path = Path(own[1]) / "estimator" / "mine.yaml"
    path.write_text(MINE.replace("strength: positive", "strength: number > least\n  least: number") + "least: 2.0\n")
    with pytest.raises(ConfigError, match=r"estimator\.strength=1\.0 must be > estimator\.least=2\.0"):
        composed([*own, "estimator=mine"])


def test_a_class_that_refuses_what_its_yaml_says_is_named_alone():
    node = {"name": "mine", "_target_": "binlit.estimator.StraightThrough", "share_losses": True}
    with pytest.raises(ConfigError, match=r"^binlit\.estimator\.S\w+: .*'share_losses'; did you mean shares_losses"):
        build(node)
    with pytest.raises(ConfigError, match=r"^binlit\.nowhere\.X: Error loading 'binlit\.nowhere\.X': \S"):
        build(node | {"_target_": "binlit.nowhere.X"})
