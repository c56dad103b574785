"""Pathwise rules: the gradient is the formula, bit by bit, and nowhere silently zero."""

from __future__ import annotations

import pytest
import torch

from binlit.binary import BinaryActivation
from binlit.estimator import ESTIMATORS, straight_through

X = torch.tensor([-2.0, -0.9, -0.3, 0.0, 0.4, 0.8, 1.7], dtype=torch.float64)
G = torch.tensor([1.0, -2.0, 3.0, 0.5, -1.0, 2.0, 1.5], dtype=torch.float64)


def gradient(name: str, **options) -> torch.Tensor:
    unit = BinaryActivation(ESTIMATORS[name](), **options).double()
    unit.slope.fill_(1.25)
    x = X.clone().requires_grad_()
    loss = (unit(x) * G).sum() + 0 * x.sum()  # so that there is a graph even where the rule sends nothing back
    return torch.autograd.grad(loss, x)[0]


@pytest.mark.parametrize("mode", ["stochastic", "deterministic"])
@pytest.mark.parametrize(("levels", "scale"), [("01", 1.0), ("pm1", 2.0)])
def test_st_with_the_hard_sigmoid(mode, levels, scale):
    expected = G * scale * (1.25 / 2) * ((1.25 * X).abs() <= 1)
    assert torch.allclose(gradient("st", mode=mode, levels=levels), expected)


def test_st_with_the_logistic():
    p = torch.sigmoid(1.25 * X)
    assert torch.allclose(gradient("st", surrogate="logistic"), G * 1.25 * p * (1 - p))


@pytest.mark.parametrize("levels", ["01", "pm1"])
def test_identity_sends_back_what_came(levels):
    assert torch.equal(gradient("st_identity", levels=levels), G)


@pytest.mark.parametrize("levels", ["01", "pm1"])
def test_clipped_is_the_window_of_hard_tanh(levels):
    assert torch.allclose(gradient("st_clipped", levels=levels), G * 1.25 * ((1.25 * X).abs() <= 1))


def test_detached_sends_back_nothing():
    assert torch.equal(gradient("detached"), torch.zeros_like(G))


def test_straight_through_value_is_exact_where_the_common_form_rounds():
    soft, hard = 3 * torch.randn(10_000), (torch.rand(10_000) < 0.5).float()
    assert torch.equal(straight_through(hard, soft), hard)
    assert not torch.equal(soft + (hard - soft), hard)  # why it is written the other way


@pytest.mark.parametrize("name", ["st", "st_identity", "st_clipped"])
def test_evaluation_mode_keeps_the_gradient(name):
    """Training with frozen statistics (net.eval()) must not lose it."""
    unit = BinaryActivation(ESTIMATORS[name]()).eval()
    x = torch.tensor([0.2, -0.3], requires_grad=True)
    unit(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().min() > 0
