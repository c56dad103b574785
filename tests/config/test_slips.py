"""Slips of every kind, generated from the config tree: each ends with status 2 and at most three lines."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from binlit.catalogue.folders import groups, options_of
from binlit.command import entry as cli
from binlit.config import check
from binlit.evaluate import with_folders
from binlit.paths import config_dir, repository
from in_process import composed

WRONG = [
    "[1,2]",
    "{a:1}",
    "-1",
    "1e30",
    "nan",
    "inf",
    "",
    "'1'",
    "${nothing}",
    "${oc.env:NO_SUCH}",
    "???",
    "a=b",
    "1,2",
    "ü",
]
# Settings that take any text, or whose odd values are someone's own: not slips.
FREE = re.compile(r"^(name|data_dir|output_dir|ckpt_path|logger\.|row)|\.(filename|default_hp_metric|save_.*|verbose)$")
REMEDY = re.compile(
    r"did you mean|choose|write|give|leave|add -m|has it|known:|see --help|should (be|have|match)|quote|set it|"
    r"is no flag|close what|is not a finite number|make that smaller|ask for less|it has|install"
)


def leaves(node: Any, path: str = "") -> Iterator[str]:
    for key, value in node.items():
        below = f"{path}.{key}" if path else key
        yield below
        if isinstance(value, dict):
            yield from leaves(value, below)


def of_groups() -> Iterator[list[str]]:
    for group in groups():
        option = options_of(group)[-1]
        for word in (
            f"{group}=null", f"{group}=1", f"{group}=true", f"{group}=[1,2]", f"{group}={{}}", f"{group}=",
            f"{group}=unknown", f"++{group}={option}", f"{group}@place={option}", f"+{group}@dataset.x={option}",
            f"{group}/{option}",
            f"-{group}={option}", f"{group}s={option}", f"{group}.name=other", f"{group}={option}.yaml",
        ):  # fmt: skip
            yield [word]
        if group not in ("scheduler", "weight", "experiment"):  # without which there is a run
            yield [f"~{group}"]
        if group not in ("callbacks", "logger", "experiment"):
            yield [f"{group}._target_=os.system"]
            yield [f"{group}={option}", f"{group}={option}"]


def of_keys() -> Iterator[list[str]]:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        tree = OmegaConf.to_container(compose("config", []), resolve=False)
    for key in leaves(tree):
        yield [f"{key}x=1"]
        yield [f"{key[:-1]}=1"]
        yield [key]
        yield [f"{key}=1", f"{key}=2"]
        if not FREE.search(key) and key != "binary.layer" and key != "binary.weights":
            yield from ([f"{key}={value}"] for value in WRONG)


def slips() -> list[list[str]]:
    """150 of them, the same every time."""
    pick = random.Random(0)
    return pick.sample(list(of_groups()), 75) + pick.sample(list(of_keys()), 75)


def answered(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a slip, after the promises that hold for all of them."""

    def never(_cfg: Any) -> None:
        raise AssertionError(f"{words} began")

    monkeypatch.setattr("sys.argv", ["binlit-train", *words])
    start = time.process_time()
    with pytest.raises(SystemExit) as ended:
        cli.run_hydra(never)
    took, said = time.process_time() - start, capsys.readouterr().err
    assert ended.value.code == 2, (words, said)
    assert "Traceback" not in said, (words, said)
    assert 1 <= len(said.strip().splitlines()) <= 3, (words, said)
    assert REMEDY.search(said), (words, said)
    assert took < 1.5, (words, took)  # of the processor: the machine may be busy with other things
    return said


def test_150_slips_of_the_config_tree(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_SUCH", raising=False)
    for words in slips():
        said = answered(words, monkeypatch, capsys)
        key = re.split("[=@/]", words[0].lstrip("+~-"))[0]
        assert key.split(".")[-1] in said, (words, said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        # another run than was asked for
        (["scheduler=cosin_if_noisy"], ["scheduler=cosin_if_noisy does not exist", "did you mean cosine_if_noisy?"]),
        (["scheduler=1"], ["chooses no option", "cosine"]),
        (["estimator.name=foo"], ["chooses none", "estimator=OPTION"]),
        (["estimator.name=foo", "estimator._target_=binlit.estimator.LeaveOneOut"], ["it is rloo"]),
        (["estimator._target_=mine.Rule"], ["estimator._target_=mine.Rule", "a name of its own"]),
        (["weight.name=mine"], ["chooses none"]),
        (["+row.layer=1"], ["row.layer", "another name"]),
        (["+row.acc=1"], ["row.acc"]),
        (["+row.x={a:1}"], ["row.x"]),
        (["+experiment=[mnist,demo]"], ["chooses no option", "commas"]),
        (["dataset=[mnist]"], ["chooses no option"]),
        (["+estimator@dataset=rloo"], ["puts one option into another"]),
        (["seed=1", "seed=2"], ["given twice", "seed=1", "seed=2"]),
        (["seed=1", "++seed=2"], ["given twice"]),
        (["trainer.devices=true"], ["trainer.devices=True", "choose 1"]),
        (["trainer.devices=1.0"], ["trainer.devices=1.0"]),
        (["optimizer._partial_=1"], ["optimizer._partial_=1"]),
        # writes elsewhere
        (["output_dir="], ["output_dir=''", "unset shell variable"]),
        (["data_dir="], ["data_dir=''"]),
        (["output_dir='~/runs'"], ["$HOME"]),
        (["hydra.run.dir="], ["hydra.run.dir= is empty"]),
        (["hydra.sweep.dir="], ["hydra.sweep.dir= is empty"]),
        (["name=.."], ["name='..'"]),
        (["name='-x'"], ["name='-x'"]),
        (["callbacks.best.filename=../../x"], ["callbacks.best.filename", "leaves the run's folder"]),
        (["callbacks.last.filename=/tmp/x"], ["callbacks.last.filename", "leaves the run's folder"]),
        (["+callbacks.best.dirpath=/tmp"], ["callbacks.best.dirpath"]),
        (["logger.csv.name=../x"], ["logger.csv.name", "leaves"]),
        (["logger.tensorboard.version=.."], ["leaves"]),
        # cannot be gone on from, or tested
        (["callbacks.last=null"], ["could not be gone on from", "resume=false"]),
        (["~callbacks.last"], ["could not be gone on from"]),
        (["callbacks.last.filename=x"], ["could not be gone on from"]),
        (["+callbacks.last.save_weights_only=true"], ["could not be gone on from"]),
        (["+callbacks.last.every_n_epochs=5"], ["could not be gone on from"]),
        (["+callbacks.last.save_top_k=0"], ["could not be gone on from"]),
        (["callbacks.best.filename=last"], ["the same file, last.ckpt"]),
        (["callbacks.best.filename=''"], ["callbacks.best.filename is empty", "such as best"]),
        (["callbacks.best.filename=null"], ["callbacks.best.filename is empty"]),
        (["callbacks.best.filename='{epoch}'"], ["is not known before the run"]),
        (["+callbacks.x={}"], ["callbacks.x._target_"]),
        (["+callbacks.x={_target_: pytorch_lightning.callbacks.ModelCheckpoint}"], ["keep the same epochs"]),
        # learns nothing
        (["optimizer.lr=1e-30"], ["optimizer.lr=1e-30"]),
        (["optimizer.lr=1000.0"], ["optimizer.lr=1000.0", "less than or equal to 10"]),
        (["optimizer.eps=1e9"], ["optimizer.eps"]),
        (["optimizer.weight_decay=1e6"], ["optimizer.weight_decay"]),
        (["optimizer=sgd", "optimizer.lr=1.0", "optimizer.weight_decay=1.0"], ["takes away 100% of each weight"]),
        (["trainer.gradient_clip_val=1e-20"], ["trainer.gradient_clip_val=1e-20"]),
        (["binary.threshold=1e9"], ["binary.threshold"]),
        (["optimizer=bop", "binary=weights", "optimizer.threshold=1.0"], ["optimizer.threshold=1.0"]),
        (["anneal=exponential", "anneal.rate=9.0", "trainer.max_epochs=100"], ["anneal", "slope"]),
        # fails late
        (["optimizer.betas=[0,0]"], ["optimizer.betas=[0, 0]", "[0.0, 0.0]"]),
        (["optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0"], ["needs momentum"]),
        (["trainer.limit_train_batches=1e-9"], ["limit_train_batches=1e-09", "21 batches"]),
        (["trainer.limit_test_batches=1e-9"], ["limit_test_batches=1e-09"]),
        (["threads=1000000"], ["threads=1000000"]),
        (["dataset=mnist", "dataset.validation=60000"], ["leaves nothing to train on"]),
        (["dataset.seed=99999999999"], ["dataset.seed"]),
        (["dataset.batch_size=1000000000"], ["dataset.batch_size=1000000000"]),
        (["model=mlp", "model.hidden=[1000000]"], ["model.hidden"]),
        (["trainer.max_epochs=1000000000"], ["trainer.max_epochs"]),
        (["ckpt_path=nowhere"], ["ckpt_path=nowhere is no file"]),
        (["ckpt_path=."], ["ckpt_path=. is no file"]),
        # never ends
        (["binary.eval=mean", "binary.eval_draws=1000000000"], ["binary.eval_draws"]),
        (["+experiment=glyphs_fewshot", "dataset.test_episodes=1000000000"], ["dataset.test_episodes"]),
        (["dataset=glyphs", "model=omniglot_cnn", "dataset.drawings_each=1000000000"], ["dataset.drawings_each"]),
        (["estimator=disarm", "estimator.groups=1000"], ["images through its net", "copies"]),
        (["estimator=rloo", "estimator.draws=[1000,1000]", "trainer.max_epochs=1"], ["GB", "copies"]),
        (["trainer.max_epochs=100000", "binary.eval=mean", "binary.eval_draws=10000"], ["images through its net"]),
        # how it is written
        (["model=null"], ["model=null", "mnist_cnn"]),
        (["callbacks=null"], ["callbacks=null", "probe"]),
        (["~logger"], ["logger is missing", "default, none"]),
        (["~callbacks"], ["callbacks is missing", "default, probe"]),
        (["~binary.threshold"], ["binary.threshold is missing", "binary.threshold=VALUE"]),
        (["binary.layer=1,2"], ["add -m", "[1,2]"]),
        (["binary.layer=act1"], ["did you mean features.act1?"]),
        (["binary.layer='[1,2]'"], ["drop the quotes", "binary.layer=[1,2]"]),
        (["seed=${oc.env:HOME}"], ["seed='"]),
        (["seed='3'"], ["oc.decode"]),
        (["output_dir=/tmp/a=b"], ["quote it", "output_dir='/tmp/a=b'"]),
        (["hydra.run.dir=/tmp/ü"], ["quote it"]),
        (["output_dir=/tmp/a[b"], ["quote it"]),
        (["output_dir=[x]"], ["it is a list", """quote it: "output_dir='[x]'\""""]),
        (["output_dir=a,b"], ["add -m", """quote it: "output_dir='a,b'\""""]),
        (["="], ["names no setting", "KEY=VALUE"]),
        (["~"], ["names no setting", "~KEY"]),
        (["~dataset.validation=1"], ["dataset.validation is 140", "write ~dataset.validation"]),
        (["seed=range(3)"], ["add -m: -m seed=range(3)"]),
        (["mnist"], ["+experiment=mnist"]),
        (["hydra/launcher=ray"], ["pip install 'binlit[ray]'"]),
        (["hydra/sweeper=optuna"], ["pip install 'binlit[optuna]'"]),
        (["--multi-run"], ["--multirun"]),
        (["-m", "estimator=glob(zzz*)"], ["chooses no option"]),
        (["-m", "seed=glob(*)"], ["glob is for options"]),
        (["-m", "scheduler=none,cosin"], ["did you mean cosine?"]),
        (["estimator=zgr"], ["estimator=zgr does not exist", "did you mean reinmax?"]),
        (["-m", "estimator=st,LOORF"], ["did you mean rloo?"]),
        (["binary.weights=all", "estimator@weight.estimator=ste"], ["ste does not exist", "did you mean st?"]),
        (["-m", "seed=0,x"], ["seed='x'", "nothing was started"]),
        (["-m", "hydra.sweeper.params=1"], ["see --help"]),
        (["output_dir=/dev/null"], ["/dev/null", "it is no folder", "output_dir=FOLDER"]),
        (["--info", "foo"], ["'foo'"]),
        (["-cd", "nowhere"], ["--config-dir nowhere is no folder"]),
    ],
)  # fmt: skip
def test_a_slip_of_each_kind(words, parts, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = answered(words, monkeypatch, capsys)
    assert all(part in said for part in parts), said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["callbacks.last=null", "resume=false"],
        ["callbacks.best.monitor=null"],
        ["callbacks=[default,probe]"],
        ["+callbacks.each={_target_: pytorch_lightning.callbacks.ModelCheckpoint, filename: '{epoch}', "
         "every_n_epochs: 2, save_top_k: -1}"],
        ["+row.net=mine", "+row.width=[1,2]"],
        ["trainer.limit_train_batches=0.05"],
        ["output_dir='/tmp/a=b ü'"],
        ["optimizer.betas=[0.0,0.9]"],
        ["optimizer=sgd", "optimizer.nesterov=true"],
        ["trainer.fast_dev_run=true", "callbacks.last=null"],
    ],
)  # fmt: skip
def test_what_is_no_slip_passes(words):
    composed(words)


def test_options_of_ones_own_are_among_the_hints(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, text in (("experiment/mine", "# @package _global_\nseed: 3\n"), ("estimator/mine", "name: mine\n")):
        path = Path("my", f"{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert "did you mean mine?" in answered(["-cd", "my", "+experiment=min"], monkeypatch, capsys)
    assert "did you mean mine?" in answered(["--config-dir=my", "estimator=mne"], monkeypatch, capsys)
    assert composed(["-cd", "my", "+experiment=mine"])["seed"] == 3
    with pytest.raises(cli.ConfigError, match=r"did you mean mine\?"):
        composed(["-cd", "my", "+experiment=min"])


def test_jobs_that_differ_in_their_name_alone_are_told_apart():
    from binlit.command.sweep import _apart

    assert _apart(["seed=0", "name=a"], ["seed=0", "name=b"]) == {"name"}
    assert _apart(["+row.x=1", "binary.layer=1"], ["+row.x=2", "binary.layer=[1]"]) == {"row.x"}
    assert _apart(["binary.layer=1"], ["binary.layer=[1]"]) == set()


def test_runs_that_were_published_would_still_be_let_through():
    """Bounds are beyond any use: none of them stands in the way of a run that there is."""
    top = repository()
    assert top is not None
    seen = 0
    for path in sorted(top.glob("docs/results/*/records.jsonl")):
        configs = [json.loads(line)["config"] for line in path.read_text(encoding="utf-8").splitlines()[::4]]
        for config in configs:
            if "dataset" in config:  # no study of gradients
                check(with_folders(config))
                seen += 1
    assert seen > 100


def test_text_from_the_environment_is_told_how_to_become_a_number(monkeypatch, capsys):
    monkeypatch.setenv("MY_SEED", "3")
    assert "${oc.decode:${oc.env:NAME}}" in answered(["seed=${oc.env:MY_SEED}"], monkeypatch, capsys)
    assert composed(["seed='${oc.decode:${oc.env:MY_SEED}}'"])["seed"] == 3
