"""Every experiment runs, one batch of everything; and the entry points as a user types them."""

from __future__ import annotations

import json
import re
from functools import cache

import pytest
from hydra import compose, initialize_config_dir
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

import binlit.command.entry  # noqa: F401 - registers the resolvers
from binlit.dataset import mnist
from binlit.paths import config_dir
from binlit.results.record import read_records
from data_at_hand import real
from tiny_files import cifar, svhn

EXPERIMENTS = sorted(path.stem for path in (config_dir() / "experiment").glob("*.yaml"))
# Seldom at hand: tiny files in the true format, and a narrow net.
MADE = {"bnn_cifar10": lambda root: cifar(root, "bin", 1200), "bnn_svhn": lambda root: svhn(root, 6100)}
READ = cache(mnist.read_labelled)


@pytest.fixture(autouse=True)
def _read_once(monkeypatch):
    """Jobs in one process share what was read of a file; nothing writes into it."""
    monkeypatch.setattr(mnist, "read_labelled", READ)


def composed(experiment: str) -> DictConfig:
    """With the node `hydra`, in which an experiment may be a sweep."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("config", [f"+experiment={experiment}"], return_hydra_config=True)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_runs(experiment, command, tmp_path):
    cfg = composed(experiment)
    few_shot = cfg.task.name == "few_shot"  # whose batches are of episodes
    words = ["-m", "seed=0", "binary.layer=null,1"] if cfg.hydra.mode == RunMode.MULTIRUN else []
    words += ["binary.threshold=0.25"] if "thresholds" in experiment else []
    every = str(OmegaConf.select(cfg, "hydra.sweeper.params.estimator")).startswith("glob")
    words += ["estimator=st,concrete,rloo"] if every else []  # one of a kind: each by itself is tested elsewhere
    if experiment in MADE:
        data_dir = tmp_path / "data"
        MADE[experiment](data_dir)
        words += ["model.width=8", "model.hidden=16"]
    else:
        data_dir = real(cfg.dataset.name)
    words += ["dataset.batch_size=2", f"dataset.eval_batch_size={1 if few_shot else 4}", f"data_dir={data_dir}"]
    done = command("train", *words, f"+experiment={experiment}", "trainer.fast_dev_run=true")
    assert done.returncode == 0, done.stderr
    found = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/*/*/result.json")]
    assert found
    assert {record["status"] for record in found} == {"ok"}
    assert {record["experiment"] for record in found} == {experiment}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_opens_with_its_command_time_and_expectation(experiment):
    text = (config_dir() / "experiment" / f"{experiment}.yaml").read_text()
    head = text[: text.index("name:")]
    assert re.search(r"python -m binlit\.train .*\+experiment=" + experiment, head)
    assert "Time: " in head
    assert "Expect: " in head
    assert "XXXX" not in head  # left to be filled in


@pytest.mark.parametrize("module", ["train", "evaluate", "report", "summary", "export", "gradients"])
def test_a_command_starts_in_a_process_of_its_own(module, cli):
    """What a command does is mostly tested in this process; here the module is run as `python -m` runs it."""
    done = cli(module, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert module in done.stdout


def test_no_argument_trains_on_digits_and_evaluate_tests_again(cli, tmp_path):
    done = cli("train", "trainer.max_epochs=1", "model=mlp")
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    assert "gradient below" in done.stdout
    (checkpoint,) = tmp_path.glob("outputs/digits/*/checkpoints/best.ckpt")
    record = json.loads((checkpoint.parents[1] / "result.json").read_text())
    same = cli("evaluate", f"checkpoint={checkpoint}")
    assert f"{100 * record['metrics']['test/acc']:.2f} %" in same.stdout, same.stderr
    mean = cli("evaluate", f"checkpoint={checkpoint}", "binary.eval=mean", "binary.eval_draws=5")
    assert "mean over 5 draws" in mean.stdout, mean.stderr
    lines = (checkpoint.parents[1] / "evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line)["eval"] for line in lines] == ["auto", "mean"]


def test_evaluate_tests_all_runs_of_a_folder_that_draw_and_none_twice(command, tmp_path):
    base = ["trainer.max_epochs=1", "model=mlp", "name=t", "trainer.limit_train_batches=2", "callbacks.best=null"]
    done = command("train", "-m", *base, "binary.layer=null,1", "binary.mode=deterministic,stochastic")
    assert done.returncode == 0, done.stderr
    assert "last epoch of 1" in done.stdout
    folder = tmp_path / "outputs/t"
    asked = [f"checkpoint={folder}", "binary.eval=mean", "binary.eval_draws=3"]
    first = command("evaluate", *asked)
    assert "3 runs, 1 of them tested in another way" in first.stdout, first.stderr
    (lines,) = folder.glob("*/evaluations.jsonl")
    assert lines.parent.name.startswith("layer-1_stochastic")
    assert command("evaluate", *asked).stdout == first.stdout
    assert len(lines.read_text().splitlines()) == 1
    nothing = command("evaluate", f"checkpoint={folder}")
    assert "add binary.eval=threshold" in nothing.stderr
    weights = command("evaluate", f"checkpoint={folder}", "weight.eval=latent")
    assert weights.returncode == 2
    assert "none of its 3 runs has binary weights" in weights.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no finished run under" in command("evaluate", f"checkpoint={empty}", "binary.eval=mean").stderr


def test_evaluate_draws_other_episodes(command, tmp_path):
    done = command("train", "+experiment=glyphs_fewshot", "dataset.characters=20", "dataset.evaluation=8",
                   "dataset.way=3", "dataset.train_way=5", "dataset.episodes=2", "dataset.val_episodes=2",
                   "trainer.max_epochs=1", "dataset.test_episodes=4", "dataset.also=[]")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (checkpoint,) = tmp_path.glob("outputs/*/*/checkpoints/best.ckpt")
    other = command("evaluate", f"checkpoint={checkpoint}", "dataset.way=6", "dataset.shot=2", "dataset.query=5")
    assert other.returncode == 0, other.stderr
    (line,) = (checkpoint.parents[1] / "evaluations.jsonl").read_text().splitlines()
    assert json.loads(line)["episodes"] == {"way": 6, "shot": 2, "query": 5, "test_episodes": 4}
    assert json.loads(line)["metrics"]["test/n"] == 6 * 5 * 4
    assert "test/acc_6w2s" in json.loads(line)["metrics"]
    (record,) = read_records(tmp_path / "outputs")
    assert "evaluations" not in record  # of another test than the table's
    assert list(record["episodes"]) == ["3w1s"]  # nor episodes of as many queries
    again = command(
        "evaluate", f"checkpoint={checkpoint}", "dataset.way=7", "dataset.shot=2"
    )  # 3 classes to validate on
    assert re.search(r"test accuracy .* \(7w2s [\d.]+ ± [\d.]+\)", again.stdout), again.stderr
    assert command("report", str(tmp_path / "outputs")).returncode == 0
    page = next(tmp_path.glob("outputs/episodes.md")).read_text()
    assert "3-way 1-shot" in page
    assert "7-way 2-shot" in page
    assert "6-way" not in page
    refused = command("evaluate", f"checkpoint={checkpoint}", "dataset.way=60")
    assert refused.returncode == 2
    assert "cannot be drawn from" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "checkpoint is missing"),
        (["checkpoint=nowhere.ckpt"], "nowhere.ckpt is no file"),
        (["checkpoint=/etc/hostname"], "cannot be read as a checkpoint"),
    ],
)
def test_evaluate_explains_what_it_needs(command, arguments, part):
    done = command("evaluate", *arguments)
    assert done.returncode == 2
    assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_data_ends_with_advice_and_status_2(command, tmp_path):
    done = command("train", "dataset=mnist", "dataset.download=false", f"data_dir={tmp_path}/nowhere")
    assert done.returncode == 2
    assert "dataset=digits works offline" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_binary_output_is_warned_of_before_training(command):
    done = command("train", "binary.layer=output", "trainer.max_epochs=1", "model=mlp", "trainer.fast_dev_run=true")
    assert done.returncode == 0, done.stderr
    assert "warning: binary site 'classifier' is the classifier's output" in done.stderr
