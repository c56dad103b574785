"""The published parameter counts and shapes, and that conf/ and the code name the same sites."""

from __future__ import annotations

import pytest
import torch
from hydra import compose, initialize_config_dir

from binlit.binary import activation_sites, weight_layers
from binlit.config import check
from binlit.estimator.surrogate import SURROGATES
from binlit.model import Conv4, Mlp, MnistCnn, OmniglotCnn, OmniglotCnn5
from binlit.model.activation import ACTIVATIONS
from binlit.paths import config_dir
from binlit.running.build import build_net


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_mnist_cnn_has_the_published_parameter_count():
    net = MnistCnn()
    assert parameters(net) == 29_034
    assert net(torch.randn(3, 1, 28, 28)).shape == (3, 10)


def test_omniglot_cnn_has_the_published_parameter_count():
    net = OmniglotCnn(classes=1623, image_size=105)
    assert parameters(net) == 3_852_951
    assert net(torch.randn(2, 1, 105, 105)).shape == (2, 1623)
    assert OmniglotCnn(classes=7, image_size=28)(torch.randn(2, 1, 28, 28)).shape == (2, 7)


def test_conv4_has_the_published_parameter_count():
    assert parameters(Conv4()) == 111_936
    assert Conv4()(torch.randn(2, 1, 28, 28)).shape == (2, 64)


@pytest.mark.parametrize("size", [105, 28])
def test_omniglot_cnn5_has_the_published_widths(size):
    net = OmniglotCnn5(classes=1623, image_size=size)
    assert net(torch.randn(2, 1, size, size)).shape == (2, 1623)
    if size == 105:
        assert net.hidden.in_features == 8192
        assert net.hidden.out_features == 4096


def test_mlp_of_study_a5():
    net = Mlp()
    assert parameters(net) == 784 * 100 + 100 + 100 * 10 + 10
    assert net(torch.randn(3, 1, 28, 28)).shape == (3, 10)
    assert Mlp(inputs=4, hidden=[3, 2], classes=5)(torch.randn(7, 4)).shape == (7, 5)


def test_hard_sigmoid_is_the_studys_formula():
    act = MnistCnn().features.get_submodule("act1")
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert act(x).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_the_activation_is_the_surrogate_of_its_name():
    """A net with no binary layer is compared with one whose units fire with this probability."""
    found = []
    x = torch.cat([torch.linspace(-2, 2, 1001), torch.randn(1000)])
    for function in (ACTIVATIONS["hard_sigmoid"](), SURROGATES["hard_sigmoid"]().probability):
        leaf = x.clone().requires_grad_()
        value = function(leaf)
        value.sum().backward()
        assert leaf.grad is not None
        found.append((value.detach(), leaf.grad[x.abs() != 1]))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("model", sorted(path.stem for path in (config_dir() / "model").glob("*.yaml")))
def test_config_names_the_sites_that_the_net_has(model):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        few = ["task=few_shot", "dataset=glyphs_fewshot"] if model == "conv4" else []
        cfg = check(compose("config", [f"model={model}", "binary=none", *few]))
    net = build_net(cfg)
    assert cfg["model"]["sites"] == activation_sites(net)
    if "shortcuts" not in dict(net.named_children()):  # those of a residual net stay real
        assert cfg["model"]["layers"] == weight_layers(net)
