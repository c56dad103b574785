"""Nets that others wrote: one of each of torchvision's families, a recurrent classifier, a transformer encoder."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.inception import BasicConv2d

from binlit import binarize, binarize_weights
from binlit.binary import RealWeightWarning, UnreachedSiteWarning, activation_sites, binary_units, binary_weights
from binlit.binary.sites import place


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 8)
        self.act, self.head = nn.Tanh(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.fc(self.gru(x)[0][:, -1])))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(6, 2, 8, activation=nn.ReLU(), batch_first=True, dropout=0.0)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


def vgg() -> nn.Module:
    """torchvision's VGG with a classifier that is not 400 MB large."""
    with torch.device("meta"):
        net = models.VGG(models.vgg.make_layers([8, "M", 16, "M"], batch_norm=True), num_classes=3)
    net.features = models.vgg.make_layers([8, "M", 16, "M"], batch_norm=True)
    net.classifier = nn.Sequential(nn.Linear(784, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 3))
    return net


def convnext() -> nn.Module:
    stages = [models.convnext.CNBlockConfig(8, 16, 1), models.convnext.CNBlockConfig(16, None, 1)]
    return models.ConvNeXt(stages, num_classes=3)


NETS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "resnet": (
        lambda: models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=3),
        ["layer1", "layer2.0", "conv1", "layer1.0.bn2"],
    ),
    "vgg": (vgg, ["features", "features.0", "avgpool"]),
    "mobilenet_v2": (
        lambda: models.MobileNetV2(num_classes=3, width_mult=0.25),
        ["features", "features.0", "features.3", "features.1.conv.1"],
    ),
    "mobilenet_v3": (lambda: models.mobilenet_v3_small(num_classes=3), ["features.1", "features.4.block.2"]),
    "convnext": (convnext, ["features", "features.0", "features.1.0"]),
    "vit": (
        lambda: models.VisionTransformer(32, 16, 2, 2, 16, 32, num_classes=3),
        ["encoder", "encoder.layers", "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1.mlp"],
    ),
    "swin": (
        lambda: models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=3),
        ["features.1", "features.1.0", "features.1.0.attn", "features.2"],
    ),
    "gru": (Recurrent, ["fc"]),
    "encoder": (Encoder, ["encoder", "encoder.layers.0", "encoder.layers.1.norm2"]),
}
CASES = [(net, layers) for net, (_, blocks) in NETS.items() for layers in ("all", "first", *blocks)]


@cache
def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETS[name][0]()


def batch(name: str) -> Tensor:
    return torch.randn(2, 5, 6) if name in ("gru", "encoder") else torch.randn(2, 3, 32, 32)


def calls_of(net: nn.Module, names: list[str], x: Tensor) -> Counter[str]:
    """How often a pass calls each of the modules, places and not objects told apart."""
    calls: Counter[str] = Counter()
    for name in names:
        net.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.update([name]))
    net(x)
    return calls


@pytest.mark.parametrize(("name", "layers"), CASES)
def test_a_unit_acts_once_for_each_call_of_its_site_with_and_without_a_graph(name, layers):
    x, net = batch(name), copy.deepcopy(made(name)).eval()
    names = {"all": activation_sites(net), "first": activation_sites(net)[:1]}.get(layers, [layers])
    expected = calls_of(copy.deepcopy(net), names, x)
    binarize(net, layers, "st", mode="deterministic", levels="pm1")
    calls: Counter[str] = Counter()
    values: dict[str, set[float]] = {}

    def look(unit: Any, _args: Any, out: Tensor) -> None:
        calls.update([unit.site])
        values.setdefault(unit.site, set()).update(out.unique().tolist())

    for unit in binary_units(net):
        unit.register_forward_hook(look)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whole blocks that end in a ReLU, whose bits are all on
        with_graph = net(x)
    assert calls == expected
    with torch.no_grad():
        torch.testing.assert_close(net(x), with_graph)
    assert calls == expected + expected
    assert all(found <= {-1, 1} for found in values.values())
    if layers in ("all", "first"):
        assert all(found == {-1, 1} for found in values.values())
    assert net.train()(x).requires_grad
    assert calls == expected + expected + expected


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("layers", ["all", "first", "last"])
def test_weights_are_binary_in_every_layer_that_is_named_and_those_left_real_are_said(name, layers):
    x, net = batch(name), copy.deepcopy(made(name)).eval()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        binarize_weights(net, layers)
    said = " ".join(str(one.message) for one in caught if one.category is RealWeightWarning)
    left = {"vit": "in_proj_weight", "encoder": "in_proj_weight", "gru": "gru (GRU: weight_ih_l0, weight_hh_l0)"}
    assert left.get(name, "") in said if layers == "all" else not said
    read = Counter[str]()
    for layer, unit in binary_weights(net).items():
        unit.register_forward_hook(lambda *_, layer=layer: read.update([layer]))
    with_graph = net(x)
    assert set(read) == set(binary_weights(net))  # attention reads its layer's weight, and does not call it
    with torch.no_grad():
        torch.testing.assert_close(net(x), with_graph)
    for layer in binary_weights(net):
        assert net.get_submodule(layer).weight.unique().tolist() == [-1, 1]  # type: ignore[operator, union-attr]


@pytest.mark.parametrize(
    ("name", "layer"),
    [("vit", "encoder.layers.encoder_layer_0.self_attention"), ("gru", "gru"),
     ("encoder", "encoder.layers.0.self_attn.out_proj"), ("encoder", "encoder.layers")],
)  # fmt: skip
def test_what_cannot_be_binary_is_refused_by_name(name, layer):
    with pytest.raises(ValueError, match=f"layer '{layer}'"):
        binarize(copy.deepcopy(made(name)), layer)


def test_a_layer_that_swin_does_not_call_is_named():
    with pytest.warns(UnreachedSiteWarning, match=r"did not reach the binary unit at 'features.1.0.attn.proj'"):
        binarize(copy.deepcopy(made("swin")), "features.1.0.attn.proj", example=batch("swin"))


def test_a_net_of_functions_has_no_sites_and_says_why():
    block = BasicConv2d(3, 4, kernel_size=1)
    with pytest.raises(ValueError, match=r"finds no activation module in this net \(a function such as F.relu"):
        binarize(block, "all")


def test_one_relu_that_serves_a_block_twice_is_one_site_and_one_place():
    net = made("resnet")
    sites = activation_sites(net)
    assert sites == ["relu", *(f"layer{i}.0.relu" for i in (1, 2, 3, 4))]
    assert len({place(net, site) for site in sites}) == len(sites)
