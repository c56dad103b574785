"""The toy on which a biased rule finds the wrong answer: minimise E[(b - t)^2] over p, one bit.

The expected loss p (1 - t)^2 + (1 - p) t^2 falls towards p = 0 for t < 1/2. A straight-through rule sees the slope
2 (b - t) of the parabola, whose mean is 0 at p = t, and stays there.

Source: Tucker et al. 2017 (1703.07370) with t = 0.45; Grathwohl et al. 2018 (1711.00123) with t = 0.499.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from binlit.binary import BinaryActivation
from binlit.estimator import Estimator, Step


def descend(
    estimator: Estimator,
    surrogate: str,
    target: float,
    steps: int = 600,
    copies: int = 10_000,
    start: float = 0.7,
    rate: float = 0.1,
    seed: int = 0,
) -> Tensor:
    """p before each step of Adam and after the last, (steps + 1,), float64.

    Args:
        estimator: a fresh estimator.
        surrogate: firing probability of the bit.
        target: t, in (0, 1/2).
        steps: of Adam.
        copies: draws averaged in each step; many, because the difference of the two losses is 1 - 2t.
        start: p to start from.
        rate: Adam's learning rate, on the unit's input.
        seed: of all that is drawn.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        estimator.prepare({"bit": (1,)})
        unit = BinaryActivation(estimator, surrogate=surrogate, site="bit").double()
        x = 2 * start - 1 if surrogate != "logistic" else float(torch.logit(torch.tensor(start, dtype=torch.float64)))
        weight = nn.Parameter(torch.tensor([[x]], dtype=torch.float64))
        learned = list(estimator.parameters())
        optimizer = torch.optim.Adam([{"params": [weight], "lr": rate}, {"params": learned, "lr": 0.01}])
        path = []
        for _ in range(steps):
            path.append(float(unit.surrogate.probability(weight.detach())))
            optimizer.zero_grad()
            with Step(unit) as step:
                bits = unit(step.inputs(weight.expand(copies, 1)))
                loss = step.loss((bits - target).square().squeeze(1))
            (loss + 0 * weight.sum()).backward()  # `detached` sends nothing back, and that is no mistake here
            optimizer.step()
        path.append(float(unit.surrogate.probability(weight.detach())))
    return torch.tensor(path, dtype=torch.float64)
