"""Bop against its formula, and Adam for the rest."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import binlit
from binlit.binary import latent
from binlit.optimizer import Bop


def net() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    return binlit.binarize_weights(model, 1, init="model")


def test_flips_by_the_formula_and_moves_the_rest_by_adam():
    model = net()
    twin = copy.deepcopy(model)
    bop = Bop(binlit.weight_groups(model), lr=0.01, gamma=0.3, threshold=1e-3)
    real = [p for p in twin.parameters() if p is not latent(twin, "0")]
    adam = torch.optim.Adam(real, lr=0.01)
    with torch.no_grad():
        latent(twin, "0").copy_(torch.where(latent(twin, "0") >= 0, 1.0, -1.0))
    mean, flips = torch.zeros(5, 6), 0
    for _ in range(12):
        x, y = torch.randn(16, 6), torch.randint(3, (16,))
        for each, optimizer in ((model, bop), (twin, adam)):
            optimizer.zero_grad()
            F.cross_entropy(each(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            weight = latent(twin, "0")
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            mean = 0.7 * mean + 0.3 * gradient
            flip = (mean.abs() > 1e-3) & (mean.sign() == weight.sign())
            weight[flip] *= -1
            latent(twin, "0").grad = None
            flips += int(flip.sum())
        assert set(latent(model, "0").unique().tolist()) <= {-1.0, 1.0}
        for one, other in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(one, other)
    assert 0 < flips < 12 * 30


def test_a_schedule_moves_gamma_in_proportion():
    model = net()
    bop = Bop(binlit.weight_groups(model), lr=0.01, gamma=0.2, threshold=10.0)
    schedule = torch.optim.lr_scheduler.ExponentialLR(bop, gamma=0.5)
    weight, means = latent(model, "0"), []
    for _ in range(2):
        weight.grad = torch.ones_like(weight)
        bop.step()
        means.append(bop.state[weight]["mean"][0, 0].item())
        schedule.step()
    assert means == pytest.approx([0.2, 0.2 + 0.1 * 0.8])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 0}, "gamma=0 is outside"),
        ({"threshold": -1}, "threshold=-1 must be 0 or above"),
        ({"threshold": math.nan}, "threshold=nan must be"),
        ({"lr": 0}, "lr=0 and eps=1e-08 must be above 0"),
        ({"betas": (1.5, 0.9)}, r"betas=\(1.5, 0.9\) must be two numbers"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Bop([torch.zeros(1, requires_grad=True)], **settings)
