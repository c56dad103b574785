"""The jobs of a sweep are those of Hydra's own sweeper, and their configs those that Hydra composes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from binlit.command.sweep import Composer, checked_jobs, for_jobs_alone, words_of_jobs
from binlit.errors import ConfigError
from binlit.paths import config_dir, repository
from binlit.results.record import read_records

QUICK = ["trainer.max_epochs=1", "dataset.batch_size=256", "name=t"]
FOLDERS = [  # as a user may name them
    "hydra.sweep.dir='x/${name}/${hydra.job.config_name}'",
    "hydra.sweep.subdir='${hydra.job.override_dirname}_${binary.layer}_${run_folder:}'",
    "hydra.job.config.override_dirname.exclude_keys=[seed]",
    "hydra.job.config.override_dirname.kv_sep=:",
]


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


def outcome(compose: Any, words: list[str]) -> Any:
    """Everything in a config, interpolations as they are written and as they come out; or what is said of the words."""
    try:
        cfg = compose(words)
    except HydraException as error:
        return type(error), str(error)
    whole = json.dumps(OmegaConf.to_container(cfg), default=str)  # the order of keys counts
    app = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    try:
        return whole, OmegaConf.to_container(app, resolve=True), cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir
    except OmegaConfBaseException as error:
        return whole, str(error)


USUAL = [
    ["seed=3"],
    ["seed=4"],
    [],
    ["estimator=rloo", "binary.layer=2", "estimator.draws=8", "seed=0"],
    ["binary.layer=null", "+experiment=mnist_table", "binary.mode=deterministic", "seed=1"],
    ["+experiment=omniglot_fewshot", "binary.layer=[1,last]", "passes=[4,8,8,8]", "estimator=disarm"],
    ["optimizer.lr=0.1", "optimizer=sgd", "scheduler=cosine", "name=t", "output_dir='a b'"],
    ["estimator@weight.estimator=st", "binary.weights=all", "weight.mode=stochastic"],
    ["row={}", "seed='${oc.decode:7}'", "model=mlp", "model.hidden=[10,10]"],
    ["~binary.threshold", "binary.layer=1"],
    ["seed=1", "seed=1"],
    ["callbacks=[default,probe]", "callbacks.last=null", "trainer.max_epochs=1"],
]  # fmt: skip
MEETING = [  # in one place, or within each other: the order counts
    ["+row.a=1", "row.a=2"],
    ["row={}", "+row={a:1}", "row.a=2", "++row.a=3", "seed=1"],
    ["++row.a=1", "seed=2", "+row.b=3", "row.a=4"],
    ["seed=1", "++seed=2"],
    ["++seed=3", "seed=4"],
    ["binary={layer:1}", "binary.layer=2"],
    ["binary.layer=2", "binary={layer:1}"],
    ["binary.layer=2", "binary=bnn", "+binary.x=1"],
    ["model.hidden=[9]", "model=mlp", "model={hidden:[8]}"],
    ["model={hidden:[8]}", "model=mlp", "model.hidden=[9]"],
    ["model={hidden:[8]}", "model=mlp", "model.hidden=[9]", "+model.x=1"],
    ["binary.threshold=0.25", "~binary.threshold=0.25"],
    ["seed=1", "++row.x='${seed}'", "~row.x=1"],
    ["seed=1", "hydra.job.name=j", "name='a=b,c'"],
]
REFUSED = [
    ["~seed", "seed=1"], ["seed=["], ["nothing=1"], ["model@x=mlp"], ["row.a=1", "+row.a=2"], ["+seed=1", "seed=2"],
    ["estimator.draws=4"], ["estimator=nope"], ["binary.threshold=0.25", "~binary.threshold=0.5"], ["seed=0,1"],
    ["row=1", "row.a=2"], ["seed=1", "++row.x='${seed}'", "~row.x=0"],
]  # fmt: skip


@pytest.mark.parametrize(("lists", "refused"), [(USUAL + MEETING, False), (REFUSED, True)])
def test_a_job_is_composed_as_hydra_composes_it(loader, lists, refused):
    sweep = loader.load_configuration("config", ["seed=0,1", *FOLDERS], RunMode.MULTIRUN)
    composer = Composer(loader, sweep)
    for words in lists:
        expected = outcome(lambda words: loader.load_sweep_config(sweep, words), words)
        assert isinstance(expected[0], type) == refused, (words, expected)
        assert outcome(composer.compose, words) == expected, words


def test_options_are_composed_once_and_each_job_has_its_own_config(loader, monkeypatch):
    sweep = loader.load_configuration("config", ["seed=0,1"], RunMode.MULTIRUN)
    composed, original = [], loader.load_sweep_config
    monkeypatch.setattr(loader, "load_sweep_config", lambda *given: composed.append(given) or original(*given))
    composer = Composer(loader, sweep)
    jobs = words_of_jobs(OverridesParser.create().parse_overrides(["seed=range(20)", "estimator=st,rloo", "+row.x=1"]))
    configs = [composer.compose(words) for words in jobs]
    assert (len(configs), len(composed)) == (40, 2)
    assert [cfg.seed for cfg in configs] == [seed for seed in range(20) for _ in range(2)]
    configs[0].row.x = 2
    assert composer.compose(jobs[0]).row.x == 1


def test_a_folder_of_ones_own_makes_a_group(loader, tmp_path):
    """`seed` is a setting, unless a user's folder has options of that name."""
    (tmp_path / "row").mkdir()
    (tmp_path / "row" / "wide.yaml").write_text("width: 10\n")
    paths = [f"hydra.searchpath=[file://{tmp_path}]"]
    sweep = loader.load_configuration("config", ["seed=0,1", *paths], RunMode.MULTIRUN)
    words = ["+row=wide", "row.width=3", "seed=1"]
    found = Composer(loader, sweep).compose(words)
    assert found.row == {"width": 3}
    assert found == loader.load_sweep_config(sweep, words)


@pytest.mark.parametrize(
    "words",
    [
        ["seed=0,1", "estimator=st,rloo", "binary.layer=null,1,[1,2]", "name=t"],
        ["seed=range(3)", "binary.threshold=range(0,1,0.25)", "estimator=glob(st*,exclude=st_*)"],
        ["estimator=choice(st,rloo)", "~row", "+row.x='a,b',c", "++row.y=null", "binary={layer:1},{layer:2}"],
        ["seed=1,2", "binary.layer=1", "seed=5"],  # given again: in the first one's place
        ["seed=sort(3,1,2)", "name='a b'", "estimator@weight.estimator=st,reste", "estimator=glob(zzz)"],
        [],
    ],
)  # fmt: skip
def test_jobs_are_those_of_hydras_own_sweeper(loader, words):
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(words)
    assert [words_of_jobs(overrides)] == BasicSweeper.split_arguments(overrides, None)


def test_settings_that_only_some_options_have_are_left_to_the_jobs():
    """Hydra composes the sweep itself with the option that is chosen by default, which has no such setting."""
    ours = ["estimator.draws=[4,8]", "model.hidden=[9]", "estimator.x={a:'b,c'}", "dataset.classes=${model.x}"]
    others = ["seed=0", "optimizer.lr=0.1", "estimator=st,rloo", "binary.layer=2", "+model.x=1", "~model.hidden"]
    late = for_jobs_alone([*ours, *others, "estimator.slope=1,2", "estimator.k="])
    assert set(late) == set(ours)
    parse = OverridesParser.create().parse_overrides
    assert all(override.is_sweep_override() for override in parse(list(late.values())))
    assert words_of_jobs(parse(list(late.values()))) == words_of_jobs(parse(ours))
    assert for_jobs_alone([*ours, "hydra/sweeper=optuna"]) == {}


def test_a_sweep_over_options_gives_each_a_setting_that_the_default_lacks(command, tmp_path):
    done = command("train", "-m", "model=mlp", "logger=none", "estimator=rloo,arms", "estimator.draws=4", *QUICK)
    assert done.returncode == 0, done.stderr
    assert {record["config"]["estimator"]["draws"] for record in read_records(tmp_path / "outputs" / "t")} == {4}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["estimator=rloo,st", "estimator.draws=4"], ["estimator=rloo or", "(job model=mlp estimator=st estimator.d"]),
        (["estimator=rloo,arms", "estimator.drws=4"], ["did you mean estimator.draws?"]),
        (["seed=interval(0,1)"], ["seed=interval(0,1) has no end of values"]),
        (["hydra.sweeper.max_batch_size=-2"], ["hydra.sweeper.max_batch_size=-2", "integer ≥ 1"]),
        (["hydra.sweeper.params=[1]"], ["hydra.sweeper.params=[1]", "see --help"]),
    ],
)  # fmt: skip
def test_a_slip_in_a_sweep_is_told_before_any_job(command, tmp_path, words, parts):
    done = command("train", "-m", "model=mlp", *words)
    assert done.returncode == 2, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert not list(tmp_path.rglob("result.json"))


def test_params_of_an_experiment_are_swept_over_and_give_way_to_the_command_line(command, tmp_path):
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1', binary.layer: 'null,1'}}}\n"
    (tmp_path / "my" / "experiment" / "mine.yaml").write_text(text)
    given = ["-cd", "my", "+experiment=mine", "model=mlp", "logger=none", "hydra.sweeper.max_batch_size=2", *QUICK]
    done = command("train", *given, "seed=7,8,9")
    assert done.returncode == 0, done.stderr
    assert "6 jobs: 0 the same as others, 0 done already, 6 to run" in done.stdout
    assert {record["seed"] for record in read_records(tmp_path / "outputs" / "t")} == {7, 8, 9}


def test_folders_and_rows_of_jobs_are_those_of_their_configs(loader):
    sweep = loader.load_configuration("config", ["seed=0,1"], RunMode.MULTIRUN)
    given = ["seed=0,1", "binary.layer=null,1", "estimator=st,rloo", "name=t"]
    jobs, apart = checked_jobs(loader, sweep, words_of_jobs(OverridesParser.create().parse_overrides(given)))
    assert len(jobs) == 6  # 8, of which the estimators of a net with no binary layer are one
    assert not apart
    for job in jobs:
        cfg = loader.load_sweep_config(sweep, job.words)
        assert (str(job.folder), job.subdir) == (cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir)
        assert job.cfg["seed"] == cfg.seed


def test_a_job_that_cannot_be_composed_is_named(loader):
    sweep = loader.load_configuration("config", ["seed=0,1"], RunMode.MULTIRUN)
    with pytest.raises(ConfigError, match=r"estimator.draws(?s:.*)\(job estimator=st estimator.draws=4; nothing was"):
        checked_jobs(loader, sweep, [["estimator=st", "estimator.draws=4"]])


def test_nothing_of_hydra_is_used_that_its_plugins_are_not_given():
    """The range in pyproject.toml is of versions with this interface; the tests above pin what is asked of it."""
    top = repository()
    assert top is not None
    files = sorted((top / "src").rglob("*.py"))
    assert not [path for path in files if "hydra._internal" in path.read_text(encoding="utf-8")]
    needs = tomllib.loads(Path(top, "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert "hydra-core>=1.3.2,<1.4" in needs
    assert version("hydra-core").startswith("1.3.")
