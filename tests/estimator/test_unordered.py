"""Draws without replacement: their ratios are those of all orders, no draw comes twice, and all of them are exact."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from binlit import Step, binarize
from binlit.binary import BinaryActivation
from binlit.estimator import ESTIMATORS, StepError
from binlit.estimator.unordered import ratios, without_replacement

P = torch.tensor([0.3, 0.05, 0.22, 0.1], dtype=torch.float64)  # of four of the configurations that there are


def chance_of_set(members: list[int], taken: float = 0.0) -> float:
    """The probability that the members are drawn next, in whichever order, where `taken` is no longer there."""
    total = 0.0
    for order in itertools.permutations(members):
        chance, gone = 1.0, taken
        for s in order:
            chance *= float(P[s]) / (1 - gone)
            gone += float(P[s])
        total += chance
    return total


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_ratios_are_those_of_all_orders(count):
    chances, pairs = ratios(P[:count, None])
    members = list(range(count))
    whole = chance_of_set(members)
    for s in members:
        rest = [r for r in members if r != s]
        first = chance_of_set(rest, float(P[s]))
        assert float(chances[s]) == pytest.approx(float(P[s]) * first / whole)
        for r in rest:
            last = chance_of_set([q for q in rest if q != r], float(P[s] + P[r]))
            assert float(pairs[s, r]) == pytest.approx(float(P[r]) * last / first)
    assert float(chances.sum()) == pytest.approx(1)


def test_no_draw_comes_twice_and_the_order_has_its_probability():
    p = torch.tensor([0.2, 0.95, 0.6], dtype=torch.float64)
    torch.manual_seed(0)
    bits = without_replacement(p.expand(200_000, -1), 3)
    codes = (bits * torch.tensor([4.0, 2.0, 1.0])).sum(-1).long()
    assert ((codes[0] != codes[1]) & (codes[1] != codes[2]) & (codes[0] != codes[2])).all()
    configurations = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)
    chance = torch.where(configurations > 0, p, 1 - p).prod(1)
    for i, j, k in itertools.permutations(range(8), 3):
        exact = float(chance[i] * chance[j] / (1 - chance[i]) * chance[k] / (1 - chance[i] - chance[j]))
        found = ((codes[0] == i) & (codes[1] == j) & (codes[2] == k)).double().mean().item()
        assert found == pytest.approx(exact, abs=4.5 * (exact / 200_000) ** 0.5 + 1e-5)


def test_all_configurations_are_the_exact_expectation_even_of_saturated_units():
    phi = torch.tensor([[0.3, -1.2], [40.0, -50.0]], dtype=torch.float64)

    def f(b: torch.Tensor) -> Any:
        return (b @ torch.tensor([1.0, -2.0], dtype=torch.float64)).exp() + b[:, 0] * b[:, 1]

    unit = BinaryActivation(ESTIMATORS["unordered"](draws=8), surrogate="logistic", site="bits")
    x = phi.clone().requires_grad_()
    with Step(unit) as step:
        out = unit(x)
        found = torch.autograd.grad(step.loss(f(out)), x)[0] * 2
    assert len(out) == 4 * 2
    exact = phi.clone().requires_grad_()
    p, total = torch.sigmoid(exact), torch.zeros((), dtype=torch.float64)
    for bits in itertools.product([0.0, 1.0], repeat=2):
        b = torch.tensor([bits], dtype=torch.float64)
        total = total + (torch.where(b > 0, p, 1 - p).prod(1) * f(b)).sum()
    assert torch.allclose(found, torch.autograd.grad(total, exact)[0], atol=1e-12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="draws=9 is above 8"):
        ESTIMATORS["unordered"](draws=9)
    net = nn.Sequential(nn.Linear(4, 200), nn.Sigmoid(), nn.Linear(200, 3))
    with pytest.raises(ValueError, match=r"'1' has 200 \(at most most_units=128\): use 'rloo'"):
        binarize(net, 1, "unordered", example=torch.zeros(2, 4))
    unknown = nn.Sequential(nn.Linear(4, 200), nn.Sigmoid(), nn.Linear(200, 3))
    binarize(unknown, 1, "unordered")
    with Step(unknown), pytest.raises(StepError, match="draws the units of a site one by one"):
        unknown(torch.zeros(2, 4))
