"""Relaxations: the gradient given the noise is the formula; the noise given the bit has the right distribution."""

from __future__ import annotations

import pytest
import torch
from scipy import integrate, special, stats

from binlit.binary import BinaryActivation
from binlit.estimator import ESTIMATORS
from binlit.estimator.relaxed import GumbelRao, conditional_noise, logistic

N = 4000
PHI = torch.linspace(-2, 2, 9, dtype=torch.float64)


def bits_and_gradient(name: str, levels: str = "01", **options) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(value, gradient, noise) for many rows, the noise drawn again from the same seed."""
    unit = BinaryActivation(ESTIMATORS[name](**options), surrogate="logistic", levels=levels)
    x = PHI.expand(N, -1).clone().requires_grad_()
    torch.manual_seed(1)
    value = unit(x)
    torch.manual_seed(1)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0], logistic(x.detach())


@pytest.mark.parametrize("levels", ["01", "pm1"])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_st_gumbel_and_concrete_share_noise_between_value_and_gradient(levels, temperature):
    scale = 2 if levels == "pm1" else 1
    value, gradient, noise = bits_and_gradient("st_gumbel", levels, temperature=temperature)
    y = torch.sigmoid((PHI + noise) / temperature)
    assert torch.equal(value > 0, PHI + noise >= 0)
    assert torch.allclose(gradient, scale * y * (1 - y) / temperature)
    value, gradient, noise = bits_and_gradient("concrete", levels, temperature=temperature)
    assert torch.allclose(value, y * scale - (scale - 1))
    assert torch.allclose(gradient, scale * y * (1 - y) / temperature)


def test_concrete_sends_bits_in_evaluation():
    unit = BinaryActivation(ESTIMATORS["concrete"](), surrogate="logistic").eval()
    x = torch.randn(200, requires_grad=True)
    out = unit(x)
    assert set(out.unique().tolist()) == {0.0, 1.0}
    out.sum().backward()  # frozen statistics keep the gradient
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_gapped_reinmax_and_decoupled_formulas():
    value, gradient, _ = bits_and_gradient("gapped_st", gap=1.0, temperature=0.7)
    lead = ((2 * value - 1) * PHI).clamp_min(1.0) / 0.7
    y = torch.sigmoid(lead)
    assert torch.allclose(gradient, y * (1 - y) / 0.7)
    value, gradient, _ = bits_and_gradient("reinmax")
    assert torch.allclose(gradient, (value - torch.sigmoid(PHI)).abs() / 2)
    value, gradient, noise = bits_and_gradient("decoupled_st", temperature=0.5, backward_temperature=2.0)
    q = torch.sigmoid(PHI / 2)
    assert torch.equal(value > 0, PHI / 0.5 + noise >= 0)
    assert torch.allclose(gradient, (q * (1 - q) / 2).expand(N, -1))


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_gumbel_rao_without_draws_is_the_mean_over_all_noise(temperature):
    """Against adaptive quadrature over the noise; the factor of one bit is that of the other at -phi."""
    phi = torch.linspace(-8, 8, 41, dtype=torch.float64)
    for bit, sign in ((torch.ones_like(phi), 1), (torch.zeros_like(phi), -1)):
        found = GumbelRao(temperature, draws=None).factor(phi, bit)
        exact = torch.tensor([conditional_mean(sign * one, temperature) for one in phi.tolist()], dtype=torch.float64)
        assert ((found - exact).abs() < 1e-3 * exact.max()).all()


def conditional_mean(phi: float, temperature: float) -> float:
    """E[y (1 - y) / temperature | phi + noise > 0], y = sigmoid((phi + noise) / temperature)."""

    def density(v: float) -> float:
        y = special.expit(v / temperature)
        return y * (1 - y) / temperature * stats.logistic.pdf(v - phi)

    found, _ = integrate.quad(density, 0, 40, points=[temperature, 5 * temperature, max(phi, 0)], limit=200)
    return found / special.expit(phi)


def test_gumbel_rao_with_draws_sends_what_it_is_said_to():
    """The mean over its own draws, from the same random numbers."""
    value, gradient, _ = bits_and_gradient("gumbel_rao", temperature=0.7, draws=3)
    torch.manual_seed(1)
    bit = value.double()
    torch.rand(N, 9, dtype=torch.float64)  # drew the bit
    p = torch.sigmoid(PHI).expand(N, -1)
    y = torch.stack([torch.sigmoid((PHI + conditional_noise(p, bit)) / 0.7) for _ in range(3)])
    assert torch.allclose(gradient, (y * (1 - y) / 0.7).mean(0))


def test_noise_given_the_bit_is_the_noise_that_drew_it():
    """Conditional noise, mixed over drawn bits, is logistic again; and it always agrees with its bit."""
    for p in (0.1, 0.5, 0.83):
        rows = torch.full((20_000,), p, dtype=torch.float64)
        bit = (torch.rand_like(rows) < rows).double()
        noise = conditional_noise(rows, bit)
        assert ((torch.logit(rows) + noise >= 0).double() == bit).all()
        assert stats.kstest(noise.numpy(), "logistic").pvalue > 1e-3


@pytest.mark.parametrize("name", ["st_gumbel", "reinmax", "gapped_st"])
def test_levels_keep_the_gradient_of_the_probability(name):
    one, two = bits_and_gradient(name, "01")[1], bits_and_gradient(name, "pm1")[1]
    assert torch.allclose(2 * one, two)
