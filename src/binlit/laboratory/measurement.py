"""An estimator against enumeration: bias, variance, direction and cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from binlit.estimator import Estimator, Step
from binlit.laboratory.net import Replicated, exact_gradient, exact_loss

CHUNK = 1000  # replicas at a time


@dataclass(frozen=True)
class Measurement:
    """Figures of one estimator on one net, over all layers that learn through a binary unit, or over one layer.

    Attributes:
        bias: |mean estimate - g| / |g|, g the exact gradient.
        bias_error: what chance alone would put there, sqrt(tr Cov / draws) / |g|: the standard error of `bias`.
        worst: largest deviation of a component of the mean, in its standard errors.
        variance: tr Cov / |g|^2 of one estimate.
        cosine: of the mean estimate to g.
        cosine_one: of one estimate to g, mean over estimates.
        passes: forward passes that one estimate needs (copies of the batch at the net's output).
        seconds: wall time of one estimate, forward and backward.
        draws: number of estimates.
    """

    bias: float
    bias_error: float
    worst: float
    variance: float
    cosine: float
    cosine_one: float
    passes: int
    seconds: float
    draws: int

    @property
    def variance_at_equal_cost(self) -> float:
        """Variance of the mean of as many estimates as one pass pays for: variance * passes."""
        return self.variance * self.passes


def measure(
    estimator: Estimator,
    surrogate: str,
    weights: Sequence[tuple[Tensor, Tensor]],
    x: Tensor,
    y: Tensor,
    draws: int = 20_000,
    settle: int = 200,
    seed: int = 0,
) -> tuple[Measurement, list[Measurement]]:
    """Draws estimates of the gradient of the expected loss and compares them with enumeration.

    Args:
        estimator: a fresh estimator; its learned parts are settled first.
        surrogate: firing probability of the bits.
        weights: as from `small_net`; all but the last two layers end in bits.
        x, y: examples (N, inputs) and labels (N,); an estimate is of the gradient of their mean loss.
        draws: number of estimates, a multiple of 1,000.
        settle: steps in which baselines, scales and temperatures are learned, the net held fixed.
        seed: of all that is drawn.

    Returns:
        The measurement over the layers below the last site, and one for each layer.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        one = Replicated(weights, 1, len(x)).binarize(estimator, surrogate, x)
        one.double()
        exact = exact_gradient(one, x, y)
        settle_down(estimator, Replicated(weights, 1, len(x)), surrogate, x, y, settle)
        net = Replicated(weights, CHUNK, len(x)).binarize(estimator, surrogate, x)
        net.double()
        estimator.eval()  # what is learned stays as it is from here on
        totals = [_Total(len(g)) for g in [torch.cat(exact[: len(net.sites)]), *exact]]
        truth = [torch.cat(exact[: len(net.sites)]), *exact]
        seconds, passes = 0.0, 1
        for _ in range(max(1, draws // CHUNK)):
            begun = time.perf_counter()
            found, passes = _estimates(net, x, y)
            seconds += time.perf_counter() - begun
            for total, values, g in zip(totals, [torch.cat(found[: len(net.sites)], 1), *found], truth, strict=True):
                total.add(values, g)
    all_of_them = [total.against(g, passes, seconds) for total, g in zip(totals, truth, strict=True)]
    return all_of_them[0], all_of_them[1:]


def _estimates(net: Replicated, x: Tensor, y: Tensor) -> tuple[list[Tensor], int]:
    """One estimate from each replica, (replicas, parameters) for each layer, and the passes that one needs."""
    many, targets = x.repeat(CHUNK, 1), y.repeat(CHUNK)
    with Step(net) as step:
        losses = F.cross_entropy(net(step.inputs(many)), step.targets(targets), reduction="none")
        loss = step.loss(losses)
    parameters = net.parameter_list()
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    flat = [
        (torch.zeros_like(p) if g is None else g * CHUNK).flatten(1) for p, g in zip(parameters, gradients, strict=True)
    ]
    passes = len(losses) // len(many)
    return [torch.cat(pair, 1) for pair in zip(flat[::2], flat[1::2], strict=True)], passes


def settle_down(
    estimator: Estimator, net: Replicated, surrogate: str, x: Tensor, y: Tensor, steps: int, copies: int = 64
) -> None:
    """Lets moving averages and learned parts of the estimator follow a net whose weights are held fixed."""
    net.binarize(estimator, surrogate, x).double().train()
    estimator.train()
    learned = list(estimator.parameters())
    optimizer = torch.optim.Adam(learned, lr=0.01) if learned else None
    net.set_examples(copies * len(x))
    for _ in range(steps):
        with Step(net) as step:
            out = net(step.inputs(x.repeat(copies, 1)))
            loss = step.loss(F.cross_entropy(out, step.targets(y.repeat(copies)), reduction="none"))
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward(inputs=learned)
            optimizer.step()


def train_exactly(
    weights: Sequence[tuple[Tensor, Tensor]], estimator: Estimator, surrogate: str, x: Tensor, y: Tensor, steps: int
) -> list[tuple[Tensor, Tensor]]:
    """The weights after `steps` steps of Adam (0.02) along the exact gradient."""
    net = Replicated(weights, 1, len(x)).binarize(estimator, surrogate, x).double()
    parameters = net.parameter_list()
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        exact_loss(net, x, y).backward(inputs=parameters)
        optimizer.step()
    return [(layer.weight[0].detach(), layer.bias[0].detach()) for layer in net.linears]


class _Total:
    """Running sums over estimates of one gradient."""

    def __init__(self, size: int) -> None:
        self.count, self.cosines = 0, 0.0
        self.sum, self.squares = torch.zeros(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)

    def add(self, values: Tensor, exact: Tensor) -> None:
        away = values.detach() - exact  # sums of differences lose fewer digits
        self.count += len(values)
        self.sum += away.sum(0)
        self.squares += away.square().sum(0)
        self.cosines += float(F.cosine_similarity(values.detach(), exact[None], dim=1).sum())

    def against(self, exact: Tensor, passes: int, seconds: float) -> Measurement:
        away, size = self.sum / self.count, float(exact.norm()) or float("nan")  # relative to nothing: no number
        variance = (self.squares / self.count - away.square()).clamp_min(0) * self.count / (self.count - 1)
        error = (variance / self.count).sqrt()
        noticeable = away.abs() > 1e-9 * size  # what has no variance may still differ by rounding
        worst = torch.where(noticeable, away.abs() / error.clamp_min(1e-12 * size), 0.0)
        return Measurement(
            bias=float(away.norm()) / size,
            bias_error=float(error.norm()) / size,
            worst=float(worst.max()),
            variance=float(variance.sum()) / size**2,
            cosine=float(F.cosine_similarity(away + exact, exact, dim=0)),
            cosine_one=self.cosines / self.count,
            passes=passes,
            seconds=seconds / self.count,
            draws=self.count,
        )
