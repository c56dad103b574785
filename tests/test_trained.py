"""From Python: nets out of their checkpoints, and records as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import binlit
from binlit.running.build import build_data
from binlit.task.learning import epoch_seed

QUICK = ["model=mlp", "logger=none", "dataset.batch_size=256", "threads=1", "trainer.max_epochs=1"]
TOP = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# -- load --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "way",
    [
        ["binary.mode=deterministic"],
        ["binary.eval=sample"],
        ["binary.eval=mean", "binary.eval_draws=5"],
        ["binary.eval=mean", "binary.eval_draws=5", "task.loss=squared_hinge"],
    ],
    ids=" ".join,
)
def test_a_loaded_net_is_right_as_often_as_its_test_was(way):
    record = binlit.run([*QUICK, *way], quiet=True)
    net = binlit.load(record.folder)
    assert not net.training
    data: Any = build_data(net.config)
    data.setup("test")
    images, labels = data.parts["test"][:]
    torch.manual_seed(epoch_seed(0, -1))  # the test's own draws
    with torch.no_grad():
        logits = net(images)
        assert (logits.argmax(1) == labels).float().mean().item() == record["metrics"]["test/acc"]
        torch.manual_seed(epoch_seed(0, -1))
        torch.testing.assert_close(net(images / 255), logits, atol=1e-3, rtol=1e-3)
    other = binlit.load(record.folder / "checkpoints" / "best.ckpt")
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_a_loaded_net_says_what_it_takes():
    record = binlit.run([*QUICK, "name=loaded"], quiet=True)
    net = binlit.load(record.folder)
    for images, said in (
        (torch.zeros(1, 28, 28), r"images are \(N, C, H, W\), and not \(1, 28, 28\)"),
        (torch.full((1, 1, 28, 28), 255.0), r"floating-point images have pixels in \[0, 1\]"),
        (torch.zeros(1, 1, 28, 28, dtype=torch.int64), r"uint8 or floating-point, and not torch\.int64"),
    ):
        with pytest.raises(ValueError, match=said):
            net(images)
    with pytest.raises(binlit.ConfigError, match="cannot be packed"):
        net.pack("net.binlit")
    with pytest.raises(binlit.ConfigError, match=r"holds no result\.json"):
        binlit.load("outputs")
    with pytest.raises(binlit.ConfigError, match="cannot be read as a checkpoint"):
        binlit.load(record.folder / "result.json")


def test_an_own_class_is_built_where_it_is_trusted(tmp_path, monkeypatch):
    """An option in a folder of the user's, from Python: trained, and loaded once its class is named."""
    (tmp_path / "own" / "dataset").mkdir(parents=True)
    text = "defaults: [digits]\nname: mine\n_target_: own_digits.Mine\n"
    (tmp_path / "own" / "dataset" / "mine.yaml").write_text(text)
    (tmp_path / "own_digits.py").write_text("from binlit.dataset import Digits\n\n\nclass Mine(Digits):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    record = binlit.run(["-cd", "own", "dataset=mine", *QUICK], quiet=True)
    assert record["config"]["dataset"]["name"] == "mine"
    assert len(binlit.sweep(["-cd", "own", "dataset=mine", "seed=0,1", *QUICK])) == 2
    with pytest.raises(binlit.ConfigError, match=r'own_digits\.Mine.*trust=\["own_digits\.Mine"\]'):
        binlit.load(record.folder)
    assert binlit.load(record.folder, trust=["own_digits.Mine"])(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_a_few_shot_net_gives_embeddings():
    words = ["task=few_shot", "dataset=glyphs_fewshot", "model=conv4", "binary.layer=4", "dataset.episodes=2"]
    words += ["trainer.max_epochs=1", "dataset.val_episodes=2", "dataset.test_episodes=2", "dataset.characters=20"]
    record = binlit.run([*words, "dataset.evaluation=10", "threads=1"], quiet=True)
    net = binlit.load(record.folder)
    embedded = net(torch.zeros(3, 1, 28, 28, dtype=torch.uint8))
    assert embedded.shape[0] == 3
    assert set(embedded.unique().tolist()) <= {0.0, 1.0}
    with pytest.raises(binlit.ConfigError, match="scores against support images"):
        net.pack("net.binlit")


# -- records -----------------------------------------------------------------------------------------------------------
def test_records_of_a_published_table_are_its_lines():
    folder = TOP / "docs" / "results" / "omniglot_fewshot_table"
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    table: Any = binlit.records(folder)
    assert table.equals(binlit.records(folder / "records.jsonl"))
    assert len(table) == len(lines)
    for name in ("test/acc", "test/loss"):
        assert table[name].tolist() == [line["metrics"][name] for line in lines]
    for name in ("layer", "mode", "estimator", "anneal"):
        assert table[name].tolist() == [line["row"][name] for line in lines]
    assert table["seed"].tolist() == [line["seed"] for line in lines]
    means = table.groupby(["layer", "setting"])["test/acc"].mean() * 100
    published = (folder / "table.md").read_text()
    assert all(f"| {mean:.2f} ±" in published for mean in means)


def test_records_of_another_kind_or_of_none_are_refused(tmp_path):
    with pytest.raises(binlit.ConfigError, match="holds a study of gradients"):
        binlit.records(TOP / "docs" / "results" / "gradients")
    with pytest.raises(FileNotFoundError, match="run something into it first"):
        binlit.records(tmp_path)
