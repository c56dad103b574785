"""Leave-one-out with the other draws' gradients: the paper's formula, draw by draw, and the factor that moves."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from binlit import Step
from binlit.binary import BinaryActivation
from binlit.estimator import ESTIMATORS
from binlit.estimator.double_cv import DoubleControlVariate

PHI = torch.tensor([[-1.5, -0.2, 0.4, 2.0], [0.0, 1.0, -3.0, 0.7]], dtype=torch.float64)
W = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


def linear(b: torch.Tensor) -> torch.Tensor:
    return b @ W


def curved(b: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.softplus(b @ W) + b[:, 0] * b[:, 3]


def one_estimate(unit: BinaryActivation, f: Any, phi: torch.Tensor = PHI) -> tuple[torch.Tensor, torch.Tensor]:
    """(one estimate of the gradient of sum_n E[f(b_n)] at the logits, the bits (K N, units) that it is made of)."""
    phi = phi.clone().requires_grad_()
    with Step(unit) as step:
        bits = unit(step.inputs(phi))
        loss = step.loss(f(bits if unit.low == 0 else (bits + 1) / 2))
    return torch.autograd.grad(loss, phi)[0] * len(phi), bits.detach()


def unit_of(name: str = "double_cv", levels: str = "01", **options: Any) -> BinaryActivation:
    return BinaryActivation(ESTIMATORS[name](**options), surrogate="logistic", site="bits", levels=levels).double()


def alpha_of(unit: BinaryActivation) -> float:
    assert isinstance(unit.estimator, DoubleControlVariate)
    return unit.estimator.alpha.item()


@pytest.mark.parametrize("levels", ["01", "pm1"])
def test_a_linear_loss_leaves_no_variance(levels):
    p = torch.sigmoid(PHI)
    for seed in range(5):
        torch.manual_seed(seed)
        found, _ = one_estimate(unit_of(levels=levels), linear)
        assert torch.allclose(found, p * (1 - p) * W)


@pytest.mark.parametrize(("draws", "alpha"), [(2, -1.0), (4, 0.3), (5, -1.0)])
def test_the_estimate_is_the_papers(draws, alpha):
    """Titsias and Shi 2022, written out for each draw and each example."""
    torch.manual_seed(1)
    found, sent = one_estimate(unit_of(draws=draws, alpha=alpha, decay=1.0), curved)
    leaf = sent.clone().requires_grad_()
    f = curved(leaf)
    (g,) = torch.autograd.grad(f.sum(), leaf)
    p = torch.sigmoid(PHI)
    for n in range(len(PHI)):
        b, fs, gs = sent.view(draws, -1, 4)[:, n], f.detach().view(draws, -1)[:, n], g.view(draws, -1, 4)[:, n]
        c = torch.stack([
            alpha * torch.stack([gs[j] for j in range(draws) if j != k]).mean(0) @ (b[k] - p[n]) for k in range(draws)
        ])  # fmt: skip
        total = torch.zeros(4, dtype=torch.float64)
        for k in range(draws):
            rest = torch.stack([fs[j] + c[j] for j in range(draws) if j != k]).mean()
            total += (fs[k] + c[k] - rest) * (b[k] - p[n]) / draws
        assert torch.allclose(found[n], total - alpha * gs.mean(0) * p[n] * (1 - p[n]))


def test_alpha_moves_to_the_least_variance_and_is_saved():
    torch.manual_seed(0)
    unit = unit_of(alpha=2.0, decay=0.9)
    rows = PHI.repeat(100, 1)
    for _ in range(60):
        one_estimate(unit, linear, rows)
    assert alpha_of(unit) == pytest.approx(-1, abs=0.02)
    other = unit_of(alpha=2.0, decay=0.9)
    other.load_state_dict(unit.state_dict())
    found = []
    for each in (unit, other):  # goes on as if it had never stopped
        torch.manual_seed(3)
        found.append((one_estimate(each, curved, rows)[0], alpha_of(each)))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_a_loss_that_does_not_depend_on_the_bits_moves_nothing():
    unit = unit_of()
    found, _ = one_estimate(unit, lambda b: b.sum(1) * 0 + 3)
    assert (found == 0).all()
    assert alpha_of(unit) == -1
