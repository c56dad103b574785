"""Placing units into finished nets: which module, which order, what is refused."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

from binlit import BinaryActivation, binarize
from binlit.binary import OutputSiteWarning, activation_sites, binary_units, set_slope
from binlit.estimator import Reinforce
from binlit.model import Mlp, MnistCnn


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.conv2(self.relu(self.conv1(x)))
        return self.head(x.mean((2, 3)))


def units(net: nn.Module) -> list[str]:
    return [unit.site for unit in binary_units(net)]


def test_sites_are_the_activations_in_order():
    assert activation_sites(MnistCnn()) == ["features.act1", "features.act2"]
    assert activation_sites(Mlp(hidden=[5, 6, 7])) == ["features.act1", "features.act2", "features.act3"]
    assert activation_sites(Residual()) == ["relu"]


@pytest.mark.parametrize(
    ("layers", "sites"),
    [
        (None, []),
        ("none", []),
        (1, ["features.act1"]),
        ("2", ["features.act2"]),
        ("first", ["features.act1"]),
        ("last", ["features.act2"]),
        ([2, 1], ["features.act1", "features.act2"]),
        ("all", ["features.act1", "features.act2"]),
        ("features.act2", ["features.act2"]),
    ],
)
def test_layers_by_number_name_and_word(layers, sites):
    assert units(binarize(MnistCnn(), layers)) == sites


def test_weights_and_their_names_stay():
    net = MnistCnn()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    binarize(net, "all")
    after = net.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert sum(p.numel() for p in net.parameters()) == 29_034


def test_a_module_that_is_no_activation_has_its_output_made_binary():
    net = binarize(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), "0", "st", levels="pm1")
    seen: list[torch.Tensor] = []
    net[1].register_forward_hook(lambda module, args, out: seen.append(args[0]))
    net(torch.randn(6, 4))
    assert set(seen[0].unique().tolist()) <= {-1.0, 1.0}
    assert [name for name in net.state_dict() if name.endswith("weight")] == ["0.weight", "2.weight"]


def test_a_deepcopy_is_independent_and_still_binary():
    net = binarize(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), "0", mode="deterministic")
    twin = copy.deepcopy(net)
    set_slope(twin, 4.0)
    x = torch.randn(5, 4)
    assert torch.equal(net(x), twin(x))
    assert units(net) == units(twin) == ["0"]
    assert binary_units(net)[0].slope.item() == 1.0


def test_placing_twice_replaces():
    net = binarize(MnistCnn(), 1, "st")
    binarize(net, 1, "rloo", draws=2)
    assert [type(unit.estimator).__name__ for unit in binary_units(net)] == ["LeaveOneOut"]


def test_output_site_warns_with_its_name_and_the_reason():
    with pytest.warns(OutputSiteWarning, match=r"'classifier' is the classifier's output.*saturated logits"):
        net = binarize(MnistCnn(), "output")
    assert units(net) == ["classifier"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        binarize(MnistCnn(), "all")  # no site of "all" is the output


def test_an_activation_behind_the_classifier_is_an_output_too():
    """Study C: an activation on every layer, the output layer as well."""
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2), nn.Tanh())
    with pytest.warns(OutputSiteWarning, match="binary site '3' is the classifier's output"):
        binarize(net, "all")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        binarize(Residual(), "all")  # its relu is defined last but one, and used in the middle


def test_one_activation_module_at_two_places_is_two_sites():
    act = nn.ReLU()
    net = binarize(nn.Sequential(nn.Linear(4, 3), act, nn.Linear(3, 3), act, nn.Linear(3, 2)), "all")
    assert units(net) == ["1", "3"]


def test_a_net_in_evaluation_mode_stays_there():
    net = binarize(MnistCnn().eval(), 1, "rloo")
    assert net(torch.randn(2, 1, 28, 28)).shape == (2, 10)


def test_options_for_a_finished_estimator_are_refused():
    with pytest.raises(ValueError, match="draws: options go to an estimator's name"):
        binarize(MnistCnn(), 1, Reinforce(), draws=8)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (3, r"layer 3 does not exist: this net has 2 sites \(1=features.act1, 2=features.act2\)"),
        (0, "layer 0 does not exist"),
        ("features.act3", "nearest module: features.act"),
    ],
)
def test_a_layer_that_is_not_there_is_refused_with_what_there_is(layers, message):
    with pytest.raises(ValueError, match=message):
        binarize(MnistCnn(), layers)


def test_unknown_estimator_has_the_nearest_name():
    with pytest.raises(ValueError, match=r"'rlo' is not known \(did you mean rloo\?\)"):
        binarize(MnistCnn(), 1, "rlo")


def test_a_net_without_activation_modules_says_so():
    with pytest.raises(ValueError, match="finds no activation module"):
        binarize(nn.Sequential(nn.Linear(2, 2)), "all")


def test_units_share_one_estimator():
    net = binarize(MnistCnn(), "all", "rloo")
    first, second = binary_units(net)
    assert first.estimator is second.estimator
    assert isinstance(first, BinaryActivation)
    assert (first.number, second.number) == (1, 2)
