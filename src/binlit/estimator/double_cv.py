"""Leave-one-out with control variates that are made of the other draws' gradients.

The draws of an example share what they know: beside its loss f_j each draw gives the gradient g_j of its loss at its
bits, which no score function uses otherwise. All that is made of the *other* draws' f_j and g_j is independent of draw
k, so that a control variate with it leaves the estimate unbiased, however good or bad it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from binlit.estimator.base import Call, add_gradient, at_least_float32
from binlit.estimator.control_variate import total_of
from binlit.estimator.recording import Draw, Layout, Recording
from binlit.estimator.score_function import LeaveOneOut, draw, less_others, open_step, weighed


@dataclass(frozen=True)
class Differentiated(Draw):
    """What a site leaves: its logits (N, ...); the bits that it sends on, a leaf (K N, ...); its layout behind it."""

    logits: Tensor
    bits: Tensor
    layout: Layout
    branched: bool


@dataclass(frozen=True)
class Draws:
    """The draws of one site that are compared with each other; K of them for each of R rows, of U units.

    Attributes:
        f: reward, (K, R).
        slope: gradient of the reward at the bits, (K, R, U).
        bits: (K, R, U).
        p: firing probability, (K, R, U), or (1, R, U) where all K have one.
    """

    f: Tensor
    slope: Tensor
    bits: Tensor
    p: Tensor


class WithSlopes(LeaveOneOut):
    """Base: leave-one-out, and a control variate that sees the gradient of each draw's reward at its bits.

    Behind a binary site there is no gradient: it is continued by that site's p in place of its bits, for the control
    variate alone.

    The rewards given to `Step.loss` must be differentiable, as the losses are.
    """

    differentiates = True

    def forward(self, call: Call) -> Tensor:
        step = open_step(self, call)
        logits = call.logits()
        bits = draw(logits.detach(), self.draws_here(call, bool(step.draws)))
        layout = step.layout.branched(len(bits))
        sent = bits.flatten(0, 1).to(call.z.dtype).requires_grad_()
        step.record(Differentiated(call.site, len(sent) // layout.lanes, logits, sent, layout, len(bits) > 1), layout)
        return call.emit(sent)

    def loss(self, step: Recording, losses: Tensor, rewards: Tensor) -> Tensor:
        total, f = losses.mean(), rewards.detach()
        self.advantage(step, step.draws[-1], f)  # refuses a single draw
        found: list[Tensor] = []
        slopes = slopes_at(step.draws, total_of(step, losses, rewards).sum())
        for drawn, slope in reversed(list(zip(step.draws, slopes, strict=True))):
            count, units = f.shape[0], drawn.bits[0].numel()
            scale = len(drawn.bits) / losses.numel()  # from the sum over all that was drawn behind it to the mean
            values = Draws(
                step.weighted(f).reshape(count, -1),
                (slope * scale).reshape(count, -1, units),
                at_least_float32(drawn.bits.detach()).reshape(count, -1, units),
                torch.sigmoid(drawn.logits.detach()).reshape(1 if drawn.branched else count, -1, units),
            )
            estimate = self.estimate(values)
            estimate = estimate.mean(0) if drawn.branched else estimate
            found.append(estimate)
            total = add_gradient(total, weighed(estimate.detach().reshape(1, *drawn.logits.shape), drawn.logits).mean())
            f = f.mean(0) if drawn.branched else f
        return self.learn(total, found)

    def estimate(self, draws: Draws) -> Tensor:
        """The gradient at the logits as each draw estimates it, (K, R, U); a graph to what the rule learns, or none."""
        raise NotImplementedError

    def learn(self, total: Tensor, estimates: Sequence[Tensor]) -> Tensor:
        """`total` with the gradient of what the rule learns added, given the estimate at each site, (..., U)."""
        return total


class DoubleControlVariate(WithSlopes):
    """`double_cv`: leave-one-out, each draw corrected by what the other draws' gradients say of it.

    Forward: b_1 ... b_K ~ Bernoulli(p), independent.
    Backward: 1/K sum_k [f_k + c_k - mean_{j != k} (f_j + c_j)] (b_k - p) - alpha g_k p (1 - p), with
    c_k = alpha g_k^T (b_k - p), g_k the mean of the other draws' gradients of f at their bits.
    Bias and variance: unbiased for any alpha. With alpha = -1 a loss linear in the bits leaves no variance; what stays
    with the score function is the curvature of f. K passes above the first site as `rloo`, and one more backward pass.
    Later sites draw once for each lane unless a list gives them counts of their own.
    Source: Titsias and Shi 2022 (2111.05300), double control variates.

    Args:
        alpha: to start from.
        decay: of the running means by which alpha is moved to the least variance, after each step; 1: alpha stays.
        draws, repeat_at: as in `LeaveOneOut`.

    Raises:
        ValueError: decay outside [0, 1].
    """

    along: Tensor
    square: Tensor

    def __init__(
        self, alpha: float = -1.0, decay: float = 0.99, draws: int | Sequence[int] = 4, repeat_at: str = "site"
    ) -> None:
        super().__init__(draws, repeat_at)
        if not 0 <= decay <= 1:
            raise ValueError(f"decay={decay} is outside [0, 1]")
        self.start, self.decay = alpha, decay
        self.register_buffer("along", torch.zeros(()))  # running mean of <rloo, control variate at alpha = 1>
        self.register_buffer("square", torch.zeros(()))  # and of that control variate's square

    @property
    def alpha(self) -> Tensor:
        """The factor of least variance, as past steps show it."""
        return torch.where(self.square > 0, -self.along / self.square, self.start)

    def estimate(self, draws: Draws) -> Tensor:
        centred = draws.bits - draws.p
        plain = less_others(draws.f)[..., None] * centred
        slope = others(draws.slope)
        control = less_others((slope * centred).sum(2))[..., None] * centred - slope * draws.p * (1 - draws.p)
        found = plain + self.alpha.to(plain.dtype) * control
        if self.training:
            self.follow(plain.mean(0), control.mean(0))
        return found

    def follow(self, plain: Tensor, control: Tensor) -> None:
        """Moves alpha towards the one with the least variance; what it was counts as a first observation."""
        along = (plain * control).sum(1).mean().to(self.along.dtype)
        square = control.square().sum(1).mean().to(self.square.dtype)
        first = self.square == 0
        self.along.copy_(torch.where(first, -self.start * square, self.along).lerp(along, 1 - self.decay))
        self.square.copy_(torch.where(first, square, self.square).lerp(square, 1 - self.decay))


def others(values: Tensor) -> Tensor:
    """For each of K (first dimension) the mean of the others; shape kept."""
    return (values.sum(0) - values) / (values.shape[0] - 1)


def slopes_at(draws: Sequence[Differentiated], total: Tensor) -> list[Tensor]:
    """Gradient of `total` at the bits of each site, float32 or wider; shape of the bits.

    What goes through a later site is carried on from its bits to its p, and from there to the bits of earlier sites.
    """
    outputs, gradients, found = [total], [torch.ones_like(total)], []
    for drawn in reversed(draws):
        (slope,) = torch.autograd.grad(outputs, drawn.bits, gradients, retain_graph=True, allow_unused=True)
        slope = torch.zeros_like(drawn.bits) if slope is None else slope
        found.append(at_least_float32(slope))
        if drawn.logits.requires_grad:
            p = torch.sigmoid(drawn.logits)
            outputs.append(p)
            gradients.append(found[-1].unflatten(0, (-1, len(p))).sum(0).to(p.dtype))
    return found[::-1]
