"""Score functions whose draws are coupled: antithetic pairs, many draws that repel each other, one unit flipped.

Each opens K lanes at its site. Lane k carries bits b_k and a direction w_k (one number a unit), and the estimate of the
gradient with respect to the logits is the mean over lanes of A_k w_k, with A_k the lane's reward, centred or not.

Behind a site that opens lanes, each lane meets chance of its own. What a lane is compared with is then a draw of its
loss instead of the loss, which leaves the estimate unbiased; every site opens lanes of its own for each lane it meets,
so that the passes of several binary layers multiply.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from binlit.estimator.base import Call
from binlit.estimator.score_function import (
    ScoreFunction,
    draw,
    in_layout_of,
    leave_one_out,
    open_step,
    rand_draws,
    weighed,
)
from binlit.estimator.step import Draw, Step


class Coupled(ScoreFunction):
    """Base: `couple` says which bits the lanes carry and in which direction each reward counts.

    Args:
        groups: how many independent groups of lanes are averaged: an integer for every site, or a list with each of the
            net's sites' own count.

    Attributes:
        lanes: lanes of one group.
    """

    lanes = 2

    def __init__(self, groups: int | Sequence[int] = 1) -> None:
        super().__init__(groups)

    def draws_here(self, call: Call, repeated: bool) -> int:
        return super().draws_here(call, repeated=False)  # later sites open lanes as well

    def forward(self, call: Call) -> Tensor:
        step = open_step(self, call)
        logits = call.logits()
        count = self.draws_here(call, bool(step.draws))
        bits, directions, weights = self.couple(logits.detach(), count)
        score = weighed(directions, logits)
        step.branch(len(bits))
        shape = (*step.repeats, -1)
        step.record(call.site, score.reshape(shape), True, None if weights is None else weights.reshape(shape))
        return call.emit(in_layout_of(logits, bits.to(call.z.dtype)).flatten(0, 1))

    def couple(self, logits: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits (N, ...) -> bits and directions (lanes * groups, N, ...), weights (lanes * groups, N) or None."""
        raise NotImplementedError

    def advantage(self, step: Step, drawn: Draw, rewards: Tensor) -> Tensor:
        return rewards


class Arm(Coupled):
    """`arm`: augment, reinforce, merge: one uniform number a unit, used from both ends.

    Forward: b_1 = 1[u > 1 - p] and b_2 = 1[u < p], u uniform.
    Backward: (f(b_1) - f(b_2)) (u - 1/2), averaged over `groups` pairs.
    Bias and variance: unbiased; two passes a pair above the site. With several binary layers each opens a pair for each
    lane it meets.
    Source: Yin and Zhou 2019 (1807.11143) theorem 1.
    """

    def couple(self, logits: Tensor, groups: int) -> tuple[Tensor, Tensor, None]:
        p, u = torch.sigmoid(logits), rand_draws(logits, groups)
        bits = torch.cat([u > 1 - p, u < p])
        direction = 2 * u - 1  # twice u - 1/2: the mean over two lanes takes the half back
        return bits, torch.cat([direction, -direction]), None


class DisArm(Coupled):
    """`disarm` (also U2G): ARM with what does not depend on f averaged out.

    Forward: as `arm`: b_1 = 1[u > 1 - p], b_2 = 1[u < p].
    Backward: 1/2 (f(b_1) - f(b_2)) (-1)^b_2 1[b_1 != b_2] sigmoid(|phi|), averaged over `groups` pairs.
    Bias and variance: unbiased; the variance is at most that of `arm`. Two passes a pair above the site. With several
    binary layers each opens a pair for each lane it meets: the losses compared at the first are then draws, and the
    estimate stays unbiased.
    Source: Dong et al. 2020 (2006.10680); found independently as U2G.
    """

    def couple(self, logits: Tensor, groups: int) -> tuple[Tensor, Tensor, None]:
        p, u = torch.sigmoid(logits), rand_draws(logits, groups)
        one, two = u > 1 - p, u < p
        direction = (one.to(p.dtype) - two.to(p.dtype)) * torch.sigmoid(logits.abs())
        return torch.cat([one, two]), torch.cat([direction, -direction]), None


class Arms(Coupled):
    """`arms`: N draws that repel each other, compared with one another, corrected for their correlation.

    Forward: N uniform numbers from a Dirichlet copula, 1 - (1 - d_k)^(N - 1) with d ~ Dirichlet(1, ..., 1); thresholded
    so that the rarer value of the bit repels.
    Backward: 1/N sum_k (f_k - mean of the others) (b_k - p) / (1 - rho), rho the correlation of two of the bits,
    in closed form.
    Bias and variance: unbiased; rho <= 0 makes the variance smaller than that of `rloo` with as many draws. N passes
    above the first site. Later sites draw once, independently, for each lane, and are compared across lanes (as in
    `rloo`), unless a list of counts lets them open lanes of their own. N = 2 is `disarm`.
    Source: Dimitriev and Zhou 2021 (2105.14141), the Dirichlet copula.

    Args:
        draws: N >= 2 at the first site, or a list with a count for each of the net's sites.

    Raises:
        ValueError: no count reaches 2.
    """

    def __init__(self, draws: int | Sequence[int] = 4) -> None:
        super().__init__(draws)
        if max(self.draws) < 2:
            raise ValueError(f"draws={draws} leaves nothing to couple; arms needs at least 2")

    def draws_here(self, call: Call, repeated: bool) -> int:
        return ScoreFunction.draws_here(self, call, repeated)

    def advantage(self, step: Step, drawn: Draw, rewards: Tensor) -> Tensor:
        return leave_one_out(self.draws, rewards)

    def forward(self, call: Call) -> Tensor:
        if self.draws_here(call, bool(call.step and call.step.draws)) == 1:
            return ScoreFunction.forward(self, call)
        return super().forward(call)

    def couple(self, logits: Tensor, groups: int) -> tuple[Tensor, Tensor, None]:
        p, n = torch.sigmoid(logits), groups
        rare = torch.minimum(p, 1 - p)
        share = -torch.log1p(-rand_draws(logits, n))  # exponential: normalised by their sum they are Dirichlet
        share = share / share.sum(0)
        # (1 - d)^(n-1) is uniform: the rare value is taken where it falls below its probability, that is where d is
        # large, and the shares of one whole cannot all be large
        edge = rare ** (1 / (n - 1))
        chosen = 1 - share < edge
        bits = torch.where(p <= 0.5, chosen, ~chosen).to(p.dtype)
        both = (2 * edge - 1).clamp_min(0) ** (n - 1)  # probability that two draws both take the rare value
        variance = rare * (1 - rare)
        # (b - p) / (1 - rho) with 1 - rho = (rare - both) / variance; at p = 0 and 1 nothing varies
        return bits, (bits - p) * (variance / (rare - both).clamp_min(torch.finfo(p.dtype).tiny)), None


class BitFlip(Coupled):
    """`bitflip`: both values of one unit, drawn at random from all of the site's.

    Forward: all units drawn, then unit k (uniform over the d units of an example) set to 1 in one lane, to 0 in the
    other. The lanes count with p_k and 1 - p_k wherever a mean over draws is meant.
    Backward: d p_k (1 - p_k) (f(b_k = 1) - f(b_k = 0)) for unit k, 0 for the others; averaged over `groups` draws.
    Bias and variance: unbiased; exact for a single unit, low where p is near 0 or 1, and growing with d. Two passes a
    group above the site; with several binary layers each opens a pair for each lane it meets.
    Source: Kunes et al. 2022 (2208.06124), bitflip-1.
    """

    shares_losses = False  # a lane's other examples are flipped too, and not as p would draw them

    def couple(self, logits: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
        flat = logits.flatten(1)
        rows, units = flat.shape
        bits = draw(flat, groups)
        chosen = torch.randint(units, (groups, rows, 1), device=flat.device)
        p = torch.sigmoid(flat).expand(groups, -1, -1).gather(2, chosen)  # (groups, rows, 1)
        lanes = torch.cat([bits.scatter(2, chosen, 1.0), bits.scatter(2, chosen, 0.0)])
        direction = torch.zeros_like(bits).scatter(2, chosen, 2 * units * p * (1 - p))
        weights = 2 * torch.cat([p, 1 - p]).squeeze(2)
        shape = (2 * groups, *logits.shape)
        return lanes.view(shape), torch.cat([direction, -direction]).view(shape), weights
