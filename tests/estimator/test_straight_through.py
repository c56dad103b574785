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


SHAPES = {
    "st_sigmoid": lambda z: torch.sigmoid(z) * (1 - torch.sigmoid(z)),
    "approx_sign": lambda z: (2 - 2 * z.abs()).clamp_min(0),
    "atan": lambda z: 1 / (1 + (torch.pi * z).square()),
    "fast_sigmoid": lambda z: 1 / (1 + 25 * z.abs()).square(),
    "triangle": lambda z: (1 - z.abs()).clamp_min(0),
    "erf": lambda z: 2 / torch.pi**0.5 * torch.exp(-4 * z.square()),
    "swish_sign": lambda z: 5 * (2 - 5 * z * torch.tanh(2.5 * z)) / (1 + torch.cosh(5 * z)),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("mode", ["stochastic", "deterministic"])
def test_the_gradient_is_the_formula(name, mode):
    assert torch.allclose(gradient(name, mode=mode), G * 1.25 * SHAPES[name](1.25 * X))


@pytest.mark.parametrize(("name", "area"), [("atan", 1.0), ("triangle", 1.0), ("erf", 1.0), ("fast_sigmoid", 2 / 25)])
@pytest.mark.parametrize("levels", ["01", "pm1"])
def test_a_spike_has_the_area_of_its_step(name, area, levels):
    """The derivative of a step from low to 1 has area 1 - low, whatever alpha; fast_sigmoid has peak 1 instead."""
    x = torch.linspace(-200, 200, 200_001, dtype=torch.float64, requires_grad=True)
    bits = BinaryActivation(ESTIMATORS[name](), mode="deterministic", levels=levels).double()(x)
    (found,) = torch.autograd.grad(bits.sum(), x)
    assert torch.trapezoid(found, x.detach()).item() == pytest.approx(area * (2 if levels == "pm1" else 1), rel=4e-3)


def scheduled(name: str, epoch: int, epochs: int = 11) -> torch.Tensor:
    rule = ESTIMATORS[name](epochs=epochs)
    rule.begin_epoch(epoch)
    x = X.clone().requires_grad_()
    return torch.autograd.grad((BinaryActivation(rule).double()(x) * G).sum(), x)[0]


@pytest.mark.parametrize("epoch", [1, 6, 11, 50])
def test_ede_moves_from_identity_to_sign(epoch):
    t = 1e-3 * (10 / 1e-3) ** min(1.0, (epoch - 1) / 10)
    expected = G * max(1 / t, 1) * t * (1 - torch.tanh(t * X).square())
    assert torch.allclose(scheduled("ede", epoch), expected, rtol=1e-5)


@pytest.mark.parametrize("epoch", [1, 6, 11, 50])
def test_reste_moves_from_identity_to_a_power(epoch):
    o = 1 + 2 * min(1.0, (epoch - 1) / 10)
    size = X.abs()
    inner = torch.where(size < 0.1, 0.1 ** ((1 - o) / o), size.clamp_min(1e-9) ** ((1 - o) / o) / o)
    assert torch.allclose(scheduled("reste", epoch), G * torch.where(size > 1.5, 0.0, inner), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("concrete", {"temperature": 0.0}, "temperature=0.0 must be above 0"),
        ("st_gumbel", {"temperature": -1.0}, "temperature=-1.0 must be above 0"),
        ("gumbel_rao", {"draws": 0}, "draws=0 must be at least 1"),
        ("gumbel_rao", {"draws": None, "temperature": 2.0}, "temperature=2.0 is above 1"),
        ("gapped_st", {"gap": 0.0}, "gap=0.0 must be above 0"),
        ("decoupled_st", {"backward_temperature": 0.0}, "backward_temperature=0.0"),
        ("swish_sign", {"beta": 0.0}, "beta=0.0"),
        ("atan", {"alpha": 0.0}, "alpha=0.0 must be above 0"),
        ("reste", {"power": 0.5}, "power=0.5 must be at least 1"),
        ("reste", {"margin": 2.0}, "must lie inside window"),
        ("ede", {"epochs": 0}, "epochs=0"),
        ("nvil", {"hidden": 0}, "hidden=0"),
        ("nvil", {"decay": 1.0}, "decay=1.0"),
        ("relax", {"hidden": 0}, "hidden=0"),
        ("rebar", {"temperature": 0.0}, "temperature=0.0"),
        ("rebar", {"tune_every": -1}, "tune_every=-1"),
        ("arms", {"draws": 1}, "at least 2"),
        ("double_cv", {"draws": 1}, "at least 2"),
        ("double_cv", {"decay": 1.5}, "decay=1.5 is outside"),
        ("rodeo", {"hidden": 0}, "hidden=0"),
        ("rodeo", {"tune_every": -1}, "tune_every=-1"),
        ("local_expectation", {"most_units": 0}, "most_units=0"),
        ("disarm", {"groups": 0}, "too few"),
    ],
)
def test_values_out_of_range_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        ESTIMATORS[name](**options)
