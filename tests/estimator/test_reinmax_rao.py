"""ReinMax with Gumbel-Rao: the mean factor of each bit is the integral over its noise, the variance what is said of it.

On a loss linear in the bit the mean estimate is p c(1) + (1 - p) c(0), c(b) the mean factor given b.
"""

from __future__ import annotations

import pytest
import torch
from scipy import integrate, special, stats

from binlit.binary import BinaryActivation
from binlit.estimator import ESTIMATORS
from binlit.laboratory import measure, small_net
from binlit.laboratory.net import examples

PHI = [-2.0, -0.5, 0.0, 1.0, 2.5]


def mean_slope(at: float, drawn_at: float, bit: int, temperature: float) -> float:
    """E[y (1 - y) / temperature | bit = 1[drawn_at + noise >= 0]], y = sigmoid((at + noise) / temperature)."""

    def density(noise: float) -> float:
        y = special.expit((at + noise) / temperature)
        return y * (1 - y) / temperature * stats.logistic.pdf(noise)

    ends = (-drawn_at, 45.0) if bit else (-45.0, -drawn_at)
    found, _ = integrate.quad(density, *ends, points=[x for x in (-at, 0.0) if ends[0] < x < ends[1]], limit=200)
    return found / special.expit(drawn_at if bit else -drawn_at)


def mean_factor(name: str, phi: float, bit: int, temperature: float, eta: float) -> float:
    p = special.expit(phi)
    between = special.logit((p + bit) / 2)
    averaged = mean_slope(between, between, bit, temperature)
    if name == "reinmax_rao":
        return 2 * averaged - p * (1 - p) / 2
    return abs(bit - p) / 2 + eta * (averaged - mean_slope(between, phi, bit, temperature))


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize(("name", "options"), [("reinmax_rao", {}), ("reinmax_cv", {"eta": 0.7})])
def test_the_bias_on_a_linear_loss_is_the_integrals(name, options, temperature):
    torch.manual_seed(0)
    unit = BinaryActivation(ESTIMATORS[name](temperature=temperature, **options), surrogate="logistic").double()
    x = torch.tensor(PHI, dtype=torch.float64).repeat(200_000, 1).requires_grad_()
    found = torch.autograd.grad(unit(x).sum(), x)[0]
    for i, phi in enumerate(PHI):
        p, eta = special.expit(phi), options.get("eta", 0.0)
        one, zero = (mean_factor(name, phi, bit, temperature, eta) for bit in (1, 0))
        error = found[:, i].std().item() / 200_000**0.5
        assert found[:, i].mean().item() == pytest.approx(p * one + (1 - p) * zero, abs=4 * error + 1e-3)


def test_without_its_correction_reinmax_cv_is_reinmax():
    found = []
    for name, options in (("reinmax", {}), ("reinmax_cv", {"eta": 0.0})):
        torch.manual_seed(1)
        x = torch.randn(50, 7, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(2))
        unit = BinaryActivation(ESTIMATORS[name](**options), surrogate="logistic").double()
        found.append(torch.autograd.grad(unit(x).sum(), x)[0])
    assert torch.allclose(*found)


@pytest.mark.parametrize("seed", range(3))
def test_rao_varies_less_and_points_better_and_cv_varies_more(seed):
    x, y = examples(5, 4, seed)
    weights = small_net([8], 5, seed)
    found = {
        name: measure(ESTIMATORS[name](), "logistic", weights, x, y, 5000, 0, seed)[0]
        for name in ("reinmax", "reinmax_rao", "reinmax_cv")
    }
    assert found["reinmax_rao"].variance < found["reinmax"].variance < found["reinmax_cv"].variance
    assert found["reinmax_rao"].cosine_one > found["reinmax"].cosine_one
    assert found["reinmax_rao"].bias > found["reinmax"].bias
