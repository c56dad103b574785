"""The Python of README and docs runs, and does what is written beside it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pages import PAGES, TOP, commands, python

ALONE = [page for page in PAGES if python(page) and page.name != "packed.md"]


@pytest.mark.parametrize("page", ALONE, ids=lambda page: str(page.relative_to(TOP)))
def test_the_blocks_of_a_page_run_one_after_the_other(page):
    room: dict[str, Any] = {}
    for block in python(page):
        exec(block, room)


def test_readme_sends_a_gradient_through_a_binary_unit():
    room: dict[str, Any] = {}
    (block,) = python("README.md")
    assert len(block.splitlines()) <= 6
    exec(block, room)
    assert room["net"][0].weight.grad.abs().sum() > 0
    assert set(room["net"][:2](torch.randn(50, 20)).unique().tolist()) == {0.0, 1.0}


def test_the_step_of_the_quickstart_gives_a_gradient_below_the_site():
    _, first, second, third = python("docs/quickstart.md")
    room: dict[str, Any] = {}
    exec(first, room)
    assert room["net"][0].weight.grad.abs().sum() > 0
    exec(second, room)
    assert room["net"][0].weight.grad.abs().sum() > 0
    exec(third, room)
    assert room["net"][1].estimator.learns


def test_the_page_on_binary_weights_makes_signs():
    room: dict[str, Any] = {}
    (block,) = python("docs/binary_weights.md")
    exec(block, room)
    assert set(room["net"][0].weight.unique().tolist()) == {-1.0, 1.0}


def test_latent_weights_are_what_is_saved():
    room: dict[str, Any] = {}
    *_, block = python("docs/troubleshooting.md")
    exec(f"import binlit\nfrom torch import nn\n{block}", room)
    assert room["net"][0].weight.unique().tolist() == [-1.0, 1.0]
    saved = room["net"].state_dict()["0.parametrizations.weight.original"]
    assert len(saved.unique()) > 2
    assert isinstance(room["net"][0], nn.Linear)


def test_the_page_on_packed_nets_exports_and_predicts(command, tmp_path):
    """Its commands and its Python, on a small net trained for an epoch on the digits."""
    small = ["model=mlp", "model.hidden=[64]", "model.norm=all", "trainer.max_epochs=1", "logger=none", "threads=1"]
    words = ["binary=bnn", "weight=bnn", "estimator=st_clipped", "name=bnn_mnist_mlp", *small]
    assert command("train", *words).returncode == 0
    (run,) = Path(tmp_path, "outputs", "bnn_mnist_mlp").iterdir()
    for _, _, module, *settings in [words for words in commands("docs/packed.md") if words[2] == "binlit.export"]:
        done = command(module.removeprefix("binlit."), *(word.replace("RUN", run.name) for word in settings))
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "net.onnx").is_file()
    room: dict[str, Any] = {"images": np.zeros((3, 1, 28, 28), dtype=np.uint8)}
    with contextlib.chdir(run / "checkpoints"):
        for block in python("docs/packed.md"):
            exec(block, room)
    assert room["model"].predict(room["images"]).shape == (3,)
