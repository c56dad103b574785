"""Local expectation: exact where units do not meet, a lane for each unit, and refused where those are too many."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from binlit import Step, binarize
from binlit.binary import BinaryActivation
from binlit.errors import ConfigError
from binlit.estimator import ESTIMATORS, StepError
from binlit.running.build import build_net
from in_process import composed

PHI = torch.tensor([[-1.5, -0.2, 0.4, 2.0], [0.0, 1.0, -3.0, 0.7]], dtype=torch.float64)
W = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


def one_estimate(f: Any) -> tuple[torch.Tensor, int]:
    """One estimate of the gradient of sum_n E[f(b_n)] at the logits, and the passes that it took."""
    unit = BinaryActivation(ESTIMATORS["local_expectation"](), surrogate="logistic", site="bits")
    phi = PHI.clone().requires_grad_()
    with Step(unit) as step:
        losses = f(unit(step.inputs(phi)))
        loss = step.loss(losses)
    return torch.autograd.grad(loss, phi)[0] * len(phi), len(losses) // len(phi)


def test_a_sum_over_units_has_no_variance():
    """Whatever each unit's own loss is, not only a linear one: one estimate is the exact gradient."""
    p = torch.sigmoid(PHI)
    found, passes = one_estimate(lambda b: (W * (b - 0.3) ** 2 + torch.sin(3 * b)).sum(1))
    worth = W * (0.7**2 - 0.3**2) + torch.sin(torch.tensor(3.0, dtype=torch.float64))
    assert torch.allclose(found, p * (1 - p) * worth)
    assert passes == 1 + 4


def test_a_product_of_two_units_varies_with_the_other_one_alone():
    torch.manual_seed(0)
    p = torch.sigmoid(PHI)
    for _ in range(10):
        found, _ = one_estimate(lambda b: b[:, 0] * b[:, 1])
        for this, other in ((0, 1), (1, 0)):
            both = (p * (1 - p))[:, this]
            assert (torch.isclose(found[:, this], both) | (found[:, this] == 0)).all(), other
        assert (found[:, 2:] == 0).all()


def test_too_many_units_are_refused_before_anything_is_drawn():
    net = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3))
    with pytest.raises(ValueError, match=r"here are 6 at '1', 5 at '3' \(at most most_units=10 in all\)"):
        binarize(net, "all", "local_expectation", most_units=10, example=torch.zeros(2, 4))
    unknown = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3))
    binarize(unknown, "all", "local_expectation", most_units=10)
    with Step(unknown), pytest.raises(StepError, match="needs a pass for each binary unit"):
        unknown(torch.zeros(2, 4))
    line = ["model=mnist_cnn", "dataset=digits", "estimator=local_expectation", "binary.surrogate=logistic"]
    with pytest.raises(
        ConfigError, match=r"model=mnist_cnn: 'local_expectation' needs a pass .* at 'features.act1' .*raise"
    ):
        build_net(composed([*line, "binary.layer=1"]))
