"""The published parameter counts and shapes, and that conf/ and the code name the same sites."""

from __future__ import annotations

import pytest
import torch
from hydra import compose, initialize_config_dir

from binlit.binary import activation_sites
from binlit.build import build_net
from binlit.config import check
from binlit.model import Mlp, MnistCnn
from binlit.paths import config_dir


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_mnist_cnn_has_the_published_parameter_count():
    net = MnistCnn()
    assert parameters(net) == 29_034
    assert net(torch.randn(3, 1, 28, 28)).shape == (3, 10)


def test_mlp_of_study_a5():
    net = Mlp()
    assert parameters(net) == 784 * 100 + 100 + 100 * 10 + 10
    assert net(torch.randn(3, 1, 28, 28)).shape == (3, 10)
    assert Mlp(inputs=4, hidden=[3, 2], classes=5)(torch.randn(7, 4)).shape == (7, 5)


def test_hard_sigmoid_is_the_studys_formula():
    act = MnistCnn().features.get_submodule("act1")
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert act(x).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("model", sorted(path.stem for path in (config_dir() / "model").glob("*.yaml")))
def test_config_names_the_sites_that_the_net_has(model):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = check(compose("config", [f"model={model}", "binary=none"]))
    assert cfg["model"]["sites"] == activation_sites(build_net(cfg))
