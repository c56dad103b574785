"""Surrogates: values, gradients, and the point p = 1/2."""

from __future__ import annotations

import pytest
import torch

from binlit.estimator.surrogate import SURROGATES


@pytest.fixture(params=sorted(SURROGATES))
def surrogate(request: pytest.FixtureRequest):
    return SURROGATES[request.param]()


def test_is_a_growing_probability_with_half_at_zero(surrogate):
    z = torch.linspace(-8, 8, 1001, dtype=torch.float64)
    p = surrogate.probability(z)
    assert ((p >= 0) & (p <= 1)).all()
    assert (p.diff() >= 0).all()
    assert surrogate.probability(torch.zeros(1)).item() == 0.5


def test_gradcheck(surrogate):
    z = torch.tensor([-3.0, -1.3, -0.7, 0.1, 0.6, 1.4, 2.5], dtype=torch.float64, requires_grad=True)  # off the kinks
    assert torch.autograd.gradcheck(surrogate.probability, (z,))


def test_flat_is_where_the_gradient_is_nothing(surrogate):
    z = torch.linspace(-9, 9, 500, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(surrogate.probability(z).sum(), z)
    assert torch.equal(surrogate.is_flat(z), slope < 0.01 * slope.max())


def test_hard_sigmoid_is_the_studys_formula():
    z = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    expected = torch.tensor([0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0])
    assert torch.equal(SURROGATES["hard_sigmoid"]().probability(z), expected)


def test_hard_tanh_is_the_mean_of_a_plus_minus_one_bit():
    z = torch.linspace(-2, 2, 41, dtype=torch.float64)
    assert torch.allclose(2 * SURROGATES["hard_tanh"]().probability(z) - 1, torch.nn.functional.hardtanh(z))


def test_logits_are_the_log_odds_or_refused(surrogate):
    z = torch.linspace(-3, 3, 7, dtype=torch.float64)
    if surrogate.is_open:
        p = surrogate.probability(z)
        assert torch.allclose(surrogate.logits(z), torch.log(p / (1 - p)))
    else:
        with pytest.raises(ValueError, match="needs surrogate 'logistic'"):
            surrogate.logits(z)
