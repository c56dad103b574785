"""RODEO: its control variates have mean 0 whatever the net is, it starts as double_cv, and a curved loss teaches it."""

from __future__ import annotations

import itertools

import pytest
import torch

from binlit.estimator.double_cv import DoubleControlVariate, Draws
from binlit.estimator.rodeo import Rodeo

P = torch.tensor([[0.2, 0.5, 0.9]], dtype=torch.float64)
W = torch.tensor([1.5, -2.0, 1.0], dtype=torch.float64)


def every_pair() -> tuple[Draws, torch.Tensor]:
    """All 64 pairs of draws of three bits, as rows, with their probability; f curved, its gradient not f's own."""
    configurations = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)
    pairs = torch.stack([configurations.repeat_interleave(8, 0), configurations.repeat(8, 1)])  # (2, 64, 3)
    chance = torch.where(pairs > 0, P, 1 - P).prod(2).prod(0)
    f = (pairs @ W).square() + pairs[..., 0] * pairs[..., 2]
    slope = torch.sin(2 * (pairs @ W))[..., None] * W + pairs
    return Draws(f, slope, pairs, P[None]), chance


def trained_net(hidden: int = 6) -> Rodeo:
    torch.manual_seed(0)
    rule = Rodeo(hidden=hidden).double().eval()
    for parameter in rule.parameters():
        parameter.data += torch.randn_like(parameter)
    return rule


def test_any_net_leaves_the_estimate_unbiased_summed_over_every_pair_of_draws():
    draws, chance = every_pair()
    exact = (chance[:, None] * draws.f[0, :, None] * (draws.bits[0] - P)).sum(0)
    for rule in (trained_net(), Rodeo().double().eval()):
        mean = (chance[:, None] * rule.estimate(draws).mean(0)).sum(0)
        assert torch.allclose(mean, exact)


def test_it_starts_as_double_cv():
    draws, _ = every_pair()
    start, other = (rule().double().eval().estimate(draws) for rule in (Rodeo, DoubleControlVariate))
    assert torch.allclose(start.mean(0), other.mean(0))
    assert not torch.allclose(trained_net().estimate(draws).mean(0), other.mean(0))


def test_a_curved_loss_teaches_it():
    draws, chance = every_pair()
    rule = Rodeo().double()
    optimizer = torch.optim.Adam(rule.parameters(), lr=0.02)

    def spread() -> float:
        estimate = rule.estimate(draws).detach().mean(0)
        return float((chance[:, None] * (estimate - (chance[:, None] * estimate).sum(0)).square()).sum())

    before = spread()
    for _ in range(200):
        optimizer.zero_grad()
        rows = torch.multinomial(chance, 512, replacement=True)
        some = Draws(draws.f[:, rows], draws.slope[:, rows], draws.bits[:, rows], draws.p)
        rule.learn(torch.zeros((), dtype=torch.float64), [rule.estimate(some).mean(0)]).backward()
        optimizer.step()
    assert spread() < 0.8 * before


@pytest.mark.parametrize("tune_every", [0, 1, 3])
def test_it_is_tuned_as_often_as_asked_and_not_in_evaluation(tune_every):
    draws, _ = every_pair()
    rule = Rodeo(tune_every=tune_every).double()
    tuned = []
    for _ in range(6):
        found = rule.estimate(draws).mean(0)
        tuned.append(found.requires_grad)
        rule.learn(torch.zeros((), dtype=torch.float64), [found])
    assert tuned == [bool(tune_every) and step % tune_every == 0 for step in range(6)]
    assert not rule.eval().estimate(draws).requires_grad
