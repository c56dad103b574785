"""The state of a real net goes into the binary one: pretrain real, then binarize."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from binlit import binarize, binarize_weights
from binlit.binary import binary_weights, latent
from binlit.binary.weight import channel_means
from binlit.model import MnistCnn
from binlit.task import Classification


def real() -> nn.Sequential:
    """An activation with parameters, one in a chain, a chain, and a layer with a unit behind it."""
    return nn.Sequential(
        nn.Linear(4, 6), nn.PReLU(6), nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Linear(8, 2)
    )


X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("estimator", ["st", "reinforce", "nvil"])
@pytest.mark.parametrize("layers", [1, "all", "2", "2.0", [1, "2", "2.1"]])
def test_a_real_state_is_taken_whole_and_the_units_stay_as_they_are(estimator, layers):
    trained, net = real(), binarize(real(), layers, estimator, slope=3.0, example=X)
    state = trained.state_dict()
    keys, own = list(state), {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(state)
    assert list(state) == keys
    for name, value in net.state_dict().items():
        assert torch.equal(value, state.get(name, own[name]))
    assert any(name.endswith("slope") for name in own)
    twin = binarize(real(), layers, estimator, example=X)
    twin.load_state_dict(net.state_dict())
    assert all(torch.equal(value, twin.state_dict()[name]) for name, value in net.state_dict().items())


def test_the_real_channels_of_a_mixed_site_take_the_activations_parameters():
    trained, net = real(), binarize(real(), 1, share=0.5)
    with torch.no_grad():
        trained[1].weight.fill_(0.7)  # type: ignore[operator]
    net.load_state_dict(trained.state_dict())
    assert net[1].rest.weight.tolist() == pytest.approx([0.7] * 6)  # type: ignore[union-attr]


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("settings", [{}, {"scale": "learned"}, {"scale": "xnor", "clip": "none"}])
def test_real_weights_become_latent_ones_as_if_the_trained_net_had_been_binarized(settings, assign):
    trained: Any = real()
    with torch.no_grad():
        trained[0].weight.mul_(5)
    net = binarize_weights(binarize(real(), "all"), **settings)
    net.load_state_dict(trained.state_dict(), assign=assign)
    weight = trained[0].weight if settings.get("clip") == "none" else trained[0].weight.clamp(-1, 1)
    assert torch.equal(latent(net, "0"), weight)
    if settings.get("scale") == "learned":
        assert torch.equal(binary_weights(net)["0"].scale, channel_means(weight))  # type: ignore[arg-type]
    binarize_weights(binarize(trained, "all"), init="model", **settings)
    expected = trained.state_dict()
    assert net.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(("name", "change"), [("3.weight", None), ("stranger", torch.zeros(1))])
def test_a_state_with_something_missing_or_strange_is_still_refused(name, change):
    state: dict[str, Tensor] = dict(real().state_dict())
    state.pop(name, None)
    state |= {} if change is None else {name: change}
    with pytest.raises(RuntimeError, match="Missing key" if change is None else "Unexpected key"):
        binarize_weights(binarize(real(), "all")).load_state_dict(state)


def test_a_unit_that_is_half_there_is_refused():
    state = binarize(real(), 1, "reinforce").state_dict()
    del state["1.slope"]
    with pytest.raises(RuntimeError, match=r'Missing key.*"1\.slope"'):
        binarize(real(), 1, "reinforce").load_state_dict(state)


def test_the_checkpoint_of_a_real_run_is_taken_by_the_task_of_a_binary_one(tmp_path):
    """What `binary.layer=all binary.weights=all ckpt_path=REAL/last.ckpt` loads, strictly."""
    trained = Classification(MnistCnn(), 10, torch.optim.Adam)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "last.ckpt")
    example = torch.randn(2, 1, 28, 28)
    net: Any = binarize(binarize_weights(MnistCnn()), "all", "nvil", example=example)
    task = Classification(net, 10, torch.optim.Adam)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    task.load_state_dict(state, strict=True)
    first: Any = trained.net.get_submodule("features.conv1")
    assert torch.equal(latent(task.net, "features.conv1"), first.weight.clamp(-1, 1))
    assert torch.equal(net.features.conv1.bias, first.bias)
