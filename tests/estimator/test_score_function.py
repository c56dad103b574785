"""The true score function against exact enumeration of a small net."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from binlit import Step, binarize
from binlit.estimator import LeaveOneOut, Reinforce, StepError

DRAWS = 24_000


class TinyNet(nn.Module):
    """3 -> 4 bits -> 3 bits -> 2 logits, in float64: 2^7 configurations of bits."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.act1 = nn.Linear(3, 4), nn.Sigmoid()
        self.between, self.act2 = nn.Linear(4, 3), nn.Sigmoid()
        self.above = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.above(self.act2(self.between(self.act1(self.below(x)))))


def tiny(layers, estimator, **options) -> Any:
    torch.manual_seed(3)
    net = TinyNet().double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)  # far from p = 1/2, so that a mistake shows
    return binarize(net, layers, estimator, **options)


def flat(gradients) -> torch.Tensor:
    return torch.cat([g.flatten() for g in gradients])


def exact_gradient(net: Any, layers: list[int], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Gradient of E[loss], summed over all bits of all binary layers; mean over the examples."""
    total = torch.zeros((), dtype=torch.float64)
    for row, target in zip(x, y, strict=True):
        if layers == [1]:
            p1 = torch.sigmoid(net.below(row))
            for bits in itertools.product([0.0, 1.0], repeat=4):
                b1 = torch.tensor(bits, dtype=torch.float64)
                out = net.above(torch.sigmoid(net.between(b1)))
                total = total + _probability(p1, b1) * F.cross_entropy(out, target)
        elif layers == [2]:
            p2 = torch.sigmoid(net.between(torch.sigmoid(net.below(row))))
            for bits in itertools.product([0.0, 1.0], repeat=3):
                b2 = torch.tensor(bits, dtype=torch.float64)
                total = total + _probability(p2, b2) * F.cross_entropy(net.above(b2), target)
        else:
            p1 = torch.sigmoid(net.below(row))
            for bits in itertools.product([0.0, 1.0], repeat=4):
                b1 = torch.tensor(bits, dtype=torch.float64)
                p2 = torch.sigmoid(net.between(b1))
                for more in itertools.product([0.0, 1.0], repeat=3):
                    b2 = torch.tensor(more, dtype=torch.float64)
                    weight = _probability(p1, b1) * _probability(p2, b2)
                    total = total + weight * F.cross_entropy(net.above(b2), target)
    return flat(torch.autograd.grad(total / len(x), [p for n, p in net.named_parameters() if "estimator" not in n]))


def _probability(p: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    return torch.where(bits == 1, p, 1 - p).prod()


def estimates(net: Any, x: torch.Tensor, y: torch.Tensor, repeats: int, chunks: int) -> torch.Tensor:
    """`chunks` independent estimates, each the mean of `repeats` draws of the whole batch."""
    found = []
    for _ in range(chunks):
        with Step(net) as step:
            many, targets = x.repeat(repeats, 1), y.repeat(repeats)
            losses = F.cross_entropy(net(step.inputs(many)), step.targets(targets), reduction="none")
            loss = step.loss(losses)
        found.append(flat(torch.autograd.grad(loss, list(net.parameters()))))
    return torch.stack(found)


@pytest.mark.parametrize(
    ("estimator", "options", "layers"),
    [
        *[("reinforce", {}, layers) for layers in ([1], [2], [1, 2])],
        *[("rloo", {"draws": 4}, layers) for layers in ([1], [2], [1, 2])],
        ("rloo", {"draws": [3, 2]}, [1, 2]),
        ("rloo", {"draws": 3, "repeat_at": "input"}, [1, 2]),
        ("reinforce", {"draws": [2, 3]}, [1, 2]),
    ],
)
def test_gradient_agrees_with_enumeration(estimator, options, layers):
    """Every component of the mean within 4 standard errors (24,000 draws), below and above the sites."""
    net = tiny(layers, estimator, **options)
    x, y = torch.randn(3, 3, dtype=torch.float64), torch.tensor([0, 1, 1])
    exact = exact_gradient(net, layers, x, y)
    estimates(net, x, y, 1, 50)  # lets the moving average settle
    chunks = 120
    found = estimates(net, x, y, DRAWS // chunks, chunks)
    error = found.std(0) / math.sqrt(chunks)
    score = (found.mean(0) - exact).abs() / error.clamp_min(1e-12)
    assert exact[: 3 * 4].abs().max() > 1e-3  # there is something to find below the first site
    assert score.max() < 4, score


@pytest.mark.parametrize("estimator", ["reinforce", "rloo"])
def test_layers_below_the_site_learn(estimator):
    net = tiny([2], estimator)
    with Step(net) as step:
        out = net(step.inputs(torch.randn(8, 3, dtype=torch.float64)))
        step.loss(F.cross_entropy(out, step.targets(torch.randint(2, (8,))), reduction="none")).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def test_variance_falls_with_the_number_of_draws():
    x, y = torch.randn(3, 3, dtype=torch.float64), torch.tensor([0, 1, 1])
    spread = [estimates(tiny([1], "rloo", draws=k), x, y, 1, 1500).var(0).sum().item() for k in (2, 4, 8)]
    assert spread[0] > 1.3 * spread[1] > 1.3 * 1.3 * spread[2]


def test_value_is_the_mean_loss():
    net = tiny([1, 2], "rloo", draws=[2, 3])
    with Step(net) as step:
        out = net(torch.randn(5, 3, dtype=torch.float64))
        losses = F.cross_entropy(out, step.targets(torch.randint(2, (5,))), reduction="none")
        assert losses.shape == (2 * 3 * 5,)
        assert step.loss(losses).item() == pytest.approx(losses.mean().item())


def test_repeating_at_the_site_equals_repeating_at_the_input():
    """Same bits, same gradient: only the work below the site differs."""
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randint(2, (6,))
    found = []
    for where in ("site", "input"):
        net = tiny([1], "rloo", draws=4, repeat_at=where)
        torch.manual_seed(11)
        found.append(estimates(net, x, y, 1, 1)[0])
    assert torch.allclose(found[0], found[1])


def test_channels_last_changes_the_layout_only():
    """Log-probabilities in memory order are those of the logical order."""
    from binlit.estimator.score_function import log_prob

    logits = torch.randn(3, 4, 5, 6)
    bits = (torch.rand(2, 3, 4, 5, 6) < 0.5).float()
    last = log_prob(bits, logits.to(memory_format=torch.channels_last))
    by_torch = torch.distributions.Bernoulli(logits=logits).log_prob(bits).sum((2, 3, 4))
    assert torch.allclose(last, by_torch, atol=1e-4)
    assert torch.allclose(log_prob(bits, logits), by_torch, atol=1e-4)


def test_the_baseline_follows_the_loss_and_is_saved():
    net = tiny([1], "reinforce", decay=0.5)
    x, y = torch.randn(4, 3, dtype=torch.float64), torch.randint(2, (4,))
    estimates(net, x, y, 1, 30)
    saved = net.state_dict()
    other = tiny([1], "reinforce", decay=0.5)
    other.load_state_dict(saved)
    assert 0.1 < saved["act1.estimator.baseline"] < 3
    assert other.state_dict()["act1.estimator.steps"] == 30


def test_nothing_is_left_after_an_exception():
    net = tiny([1, 2], "rloo")
    step = Step(net)

    def half_a_step() -> None:
        with step:
            net(torch.randn(2, 3, dtype=torch.float64))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_a_step()
    assert len(step.draws) == 2
    assert all(unit.step is None for unit in step.units)
    with Step(net) as again:
        assert again.draws == []


def test_misuse_is_refused_with_the_remedy():
    net = tiny([1], "rloo")
    x = torch.randn(2, 3, dtype=torch.float64)
    with Step(net) as step:
        net(x)
        with pytest.raises(StepError, match="drew twice in one step"):
            net(x)
    with Step(net) as step, pytest.raises(StepError, match="call the net inside the step"):
        step.loss(torch.ones(2))
    with Step(net) as step:
        net(x)
        with pytest.raises(StepError, match="reduction="):
            step.loss(torch.tensor(0.3))
    with Step(net) as step:
        net(x)
        with pytest.raises(StepError, match="one value for each of the 2 examples"):
            step.loss(torch.ones(4))  # a mean over the batch, one for each repeat
    with Step(net), pytest.raises(StepError, match="already inside another step"), Step(net):
        pass
    with pytest.raises(ValueError, match="at least 2"):
        LeaveOneOut(draws=1)
    with pytest.raises(ValueError, match=r"decay=1.0 is outside"):
        Reinforce(decay=1.0)
    net = tiny([2], "rloo", draws=[2, 1])
    with Step(net) as step:
        net(x)
        with pytest.raises(StepError, match="nothing to leave out"):
            step.loss(torch.ones(2, dtype=torch.float64))
    net = tiny([2], "rloo", draws=[2])
    net.act2.estimator.draws = [2, 2, 2]
    net.act2.number = None
    with Step(net), pytest.raises(StepError, match="has no count for 'act2'"):
        net(x)


def test_a_net_without_units_is_left_as_it_is():
    net = TinyNet()
    x = torch.randn(4, 3)
    with Step(net) as step:
        assert step.inputs(x) is x
        losses = F.cross_entropy(net(x), step.targets(torch.zeros(4, dtype=torch.long)), reduction="none")
        assert step.loss(losses).item() == pytest.approx(losses.mean().item())
