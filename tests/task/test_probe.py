"""The probe: its reference is the exact gradient, its figures are those of the estimator, nothing is disturbed."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from binlit import binarize
from binlit.binary import binary_units
from binlit.callbacks import GradientProbe
from binlit.callbacks.gradient_probe import PlainScore, _estimates, signal_to_noise
from binlit.laboratory import Replicated, exact_gradient, small_net
from binlit.laboratory.net import examples


def test_reference_agrees_with_enumeration_also_for_the_hard_sigmoid():
    x, y = examples(3, 4, 0)
    for surrogate in ("logistic", "hard_sigmoid"):
        net: Any = Replicated(small_net([4, 3], 3, 0), 1, 4)
        names = [f"sites.{i}" for i in range(2)]
        net = binarize(net, names, PlainScore(16), sites=names, surrogate=surrogate).double()
        exact = torch.cat(exact_gradient(net, x, y)[:2])
        for layer in net.layers:
            layer.examples = 4
        found = _estimates(net, x, y, 3000)
        found = found[:, : len(exact)]  # here all layers are defined before all sites
        error = found.std(0) / len(found) ** 0.5
        assert ((found.mean(0) - exact).abs() < 4.5 * error + 1e-9).all()


def test_signal_to_noise_of_known_noise():
    torch.manual_seed(0)
    estimates = torch.ones(100) + 2 * torch.randn(4000, 100)
    assert abs(signal_to_noise(estimates) - 0.25) < 0.02
    assert signal_to_noise(torch.zeros(10, 5)) == 0.0


def test_a_look_disturbs_nothing_and_orders_estimators():
    x, y = torch.randn(64, 4), torch.arange(64) % 3
    figures = {}
    for name in ("st", "reinforce", "rloo", "detached"):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Sigmoid(), nn.Linear(8, 3))
        net = binarize(net, "all", name, surrogate="logistic")
        before = {key: value.clone() for key, value in net.state_dict().items()}
        chance = torch.get_rng_state()
        figures[name] = GradientProbe(draws=64, reference=64).look(net, x, y)
        assert torch.equal(chance, torch.get_rng_state())
        assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
        assert binary_units(net)[0].step is None
    assert figures["st"]["snr"] > figures["rloo"]["snr"] > figures["reinforce"]["snr"]
    assert figures["detached"]["snr"] == 0.0
    assert figures["st"]["cosine"] > figures["reinforce"]["cosine"]
    assert figures["st"]["reference_snr"] > 1
    assert F.relu(torch.tensor(figures["st"]["cosine_mean"])) > 0.8
