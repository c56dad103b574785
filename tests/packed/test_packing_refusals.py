"""What cannot be packed is refused with the layer's name, the reason, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import binlit
from binlit.conversion import ConversionError, convert
from binlit.model import BinaryResNet, Mlp, MnistCnn

SHAPE = (1, 8, 8)
pytestmark = pytest.mark.filterwarnings("ignore::binlit.binary.place.OutputSiteWarning")


def layers(*modules: nn.Module, weights: Any = "all", **settings: Any) -> nn.Module:
    """A chain, binary where it can be."""
    net = nn.Sequential(*modules)
    if any(isinstance(module, nn.Hardtanh) for module in modules):
        options: dict[str, Any] = {"mode": "deterministic", "levels": "pm1"} | settings
        binlit.binarize(net, "all", "st_clipped", **options)
    return binlit.binarize_weights(net, weights)


def flat(*between: nn.Module, **settings: Any) -> nn.Module:
    return layers(nn.Flatten(), nn.Linear(64, 6), *between, nn.Linear(6, 2), **settings)


def drawn_weights() -> nn.Module:
    return binlit.binarize_weights(flat(nn.Hardtanh()), "last", mode="stochastic", evaluation="sample")


def latent_weights() -> nn.Module:
    return binlit.binarize_weights(flat(nn.Hardtanh()), "last", mode="stochastic", evaluation="latent")


def hooked() -> nn.Module:
    net: Any = flat(nn.Hardtanh())
    net[1].register_forward_hook(lambda module, args, output: 2 * output)
    return net


def diverged() -> nn.Module:
    net: Any = flat(nn.BatchNorm1d(6), nn.Hardtanh())
    net[2].running_var[3] = float("nan")
    return net


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = flat(nn.Hardtanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.inner(x)


class Branching(Doubled):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) if x.sum() > 0 else x


def conv(*rest: nn.Module, **window: Any) -> nn.Module:
    return layers(nn.Conv2d(1, 4, 3, **window), nn.Hardtanh(), *rest)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: flat(nn.ReLU(), weights="all"), r"layer '2' is a ReLU, whose values are real: make every activation"),
        (lambda: flat(nn.Hardtanh(), weights="first"), r"layer '3' has real weights: train it with binary ones"),
        (lambda: flat(nn.Hardtanh(), mode="stochastic"), r"layer '2' draws its bits at test time: use binary.eval"),
        (lambda: flat(nn.Hardtanh(), share=0.5), r"layer '2' leaves 50% of its channels real: use binary.share=1"),
        (drawn_weights, r"layer '3' draws its weights at test time: use weight.eval=threshold"),
        (latent_weights, r"layer '3' is tested with its real latent weights: weight.eval=threshold"),
        (hooked, r"layer '1' has hooks that change what it does"),
        (diverged, r"'2.running_var' is not finite: the training has diverged"),
        (Doubled, r"'mul' is mul\(\), which bits cannot follow: only chains"),
        (Branching, r"no chain of layers that can be followed"),
        (lambda: flat(), r"layer '2' reads the real values of '1': put a binary activation between"),
        (lambda: flat(nn.Hardtanh(), nn.BatchNorm1d(6)), r"layer '3' makes real values of a net's input or of bits"),
        (lambda: flat(nn.BatchNorm1d(6, track_running_stats=False), nn.Hardtanh()), r"layer '2' keeps no running stat"),
        (
            lambda: flat(nn.Hardtanh(), nn.LayerNorm(6)),
            r"layer '3' is a LayerNorm, whose values are real: leave it out",
        ),
        (lambda: layers(nn.Flatten(), nn.Linear(64, 6), nn.Hardtanh()), r"ends in bits or has no layer"),
        (lambda: layers(nn.Conv2d(1, 4, 3)), r"layer '0' is the last one and no linear layer"),
        (lambda: conv(dilation=2), r"layer '0' has groups, dilation or padding other than zeros"),
        (lambda: conv(padding="same"), r"layer '0' has padding='same': give it as a number"),
        (lambda: conv(nn.Linear(6, 2)), r"layer '2' reads 6 values, not \(4, 6, 6\): flatten first"),
        (lambda: conv(nn.MaxPool2d(2, ceil_mode=True)), r"layer '2' pools with dilation, ceil_mode or indices"),
        (lambda: conv(nn.Conv2d(4, 4, 9)), r"layer '2' has windows larger than its input \(4, 6, 6\)"),
        (lambda: layers(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 2)), r"layer '0' pools pixels or flat values"),
        (lambda: layers(nn.Conv1d(1, 2, 1)), r"layer '0' is a Conv1d"),
    ],
)
@pytest.mark.filterwarnings("ignore::binlit.binary.reach.UnreachedSiteWarning")  # of a net that is refused
def test_refused_by_name(make, message):
    with pytest.raises(ConversionError, match=message):
        convert(make(), SHAPE, 0.0, 1.0)


def test_residual_additions_are_refused():
    net: Any = BinaryResNet(channels=1, block="bireal", widths=(4, 8))
    binlit.binarize(net, "all", "st_clipped", mode="deterministic", levels="pm1")
    binlit.binarize_weights(net, "all")
    with pytest.raises(ConversionError, match=r"joins or splits paths|real"):
        convert(net, (1, 28, 28), 0.0, 1.0)


def test_a_net_of_real_numbers_is_refused_by_its_first_layer():
    with pytest.raises(ConversionError, match=r"layer 'features.conv1' has real weights"):
        convert(MnistCnn(), (1, 28, 28), 0.0, 1.0)


def test_a_unit_behind_a_layer_is_seen():
    """`binarize` at a layer's own name puts the unit into a hook, which the layers' order alone does not show."""
    net: Any = binlit.binarize_weights(nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Linear(6, 2)))
    binlit.binarize(net, ["1"], "st_clipped", mode="deterministic", levels="pm1")
    assert [layer.levels for layer in convert(net, SHAPE, 0.1, 0.3).layers] == ["pixels", "pm1"]


def test_the_net_is_left_as_it_was():
    net = binlit.binarize(Mlp(hidden=(5,), norm="all"), "all", "st_clipped", mode="deterministic").train()
    binlit.binarize_weights(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    convert(net, (1, 28, 28), 0.1, 0.3)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.dtype == before[name].dtype for name, value in net.state_dict().items())
