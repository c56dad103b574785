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
from binlit.estimator.recording import Recording
from binlit.estimator.score_function import (
    LeaveOneOut,
    Scored,
    ScoreFunction,
    draw,
    in_memory_format_of,
    rand_draws,
    weighed,
)


class Paired(ScoreFunction):
    """Base: each site opens pairs of lanes, and `couple` says which bits they carry and how each reward counts.

    Args:
        groups: how many independent groups of lanes are averaged: an integer for every site, or a list with each of the
            net's sites' own count.
    """

    def __init__(self, groups: int | Sequence[int] = 1) -> None:
        super().__init__(groups)

    def draws_here(self, call: Call, repeated: bool) -> int:
        return super().draws_here(call, repeated=False)  # later sites open lanes as well

    def sample(self, call: Call, count: int) -> tuple[Tensor, Tensor, Tensor | None]:
        logits = call.logits()
        one, other, direction, chance = self.couple(logits.detach(), count)
        weights = None if chance is None else 2 * torch.cat([chance, 1 - chance])
        score = weighed(torch.cat([direction, -direction]), logits)
        return in_memory_format_of(logits, torch.cat([one, other])), score, weights

    def couple(self, logits: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Logits (N, ...) -> (bits of one lane, of the other, direction of the one), (groups, N, ...) each.

        Last what the one lane counts, in [0, 1], beside the other: (groups, N), or None where both count alike.
        """
        raise NotImplementedError

    def advantage(self, step: Recording, drawn: Scored, rewards: Tensor) -> Tensor:
        return rewards


class Arm(Paired):
    """`arm`: augment, reinforce, merge: one uniform number a unit, used from both ends.

    Forward: b_1 = 1[u > 1 - p] and b_2 = 1[u < p], u uniform.
    Backward: (f(b_1) - f(b_2)) (u - 1/2), averaged over `groups` pairs.
    Bias and variance: unbiased; two passes a pair above the site. With several binary layers each opens a pair for each
    lane it meets.
    Source: Yin and Zhou 2019 (1807.11143) theorem 1.
    """

    def couple(self, logits: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor, None]:
        p, u = torch.sigmoid(logits), rand_draws(logits, groups)
        return u > 1 - p, u < p, 2 * u - 1, None  # twice u - 1/2: the mean over two lanes takes the half back


class DisArm(Arm):
    """`disarm` (also U2G): ARM with what does not depend on f averaged out.

    Forward: as `arm`: b_1 = 1[u > 1 - p], b_2 = 1[u < p].
    Backward: 1/2 (f(b_1) - f(b_2)) (-1)^b_2 1[b_1 != b_2] sigmoid(|phi|), averaged over `groups` pairs.
    Bias and variance: unbiased; the variance is at most that of `arm`. Two passes a pair above the site. With several
    binary layers each opens a pair for each lane it meets: the losses compared at the first are then draws, and the
    estimate stays unbiased.
    Source: Dong et al. 2020 (2006.10680); found independently as U2G.
    """

    def couple(self, logits: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor, None]:
        one, other, _, _ = super().couple(logits, groups)
        return one, other, (one.to(logits.dtype) - other.to(logits.dtype)) * torch.sigmoid(logits.abs()), None


class Arms(LeaveOneOut):
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

    def sample(self, call: Call, count: int) -> tuple[Tensor, Tensor, Tensor | None]:
        if count == 1:
            return super().sample(call, count)
        logits, n = call.logits(), count
        p = torch.sigmoid(logits.detach())
        rare = torch.minimum(p, 1 - p)
        share = -torch.log1p(-rand_draws(p, n))  # exponential: normalised by their sum they are Dirichlet
        share = share / share.sum(0)
        # (1 - d)^(n-1) is uniform: the rare value is taken where it falls below its probability, that is where d is
        # large, and the shares of one whole cannot all be large
        edge = rare ** (1 / (n - 1))
        chosen = 1 - share < edge
        bits = torch.where(p <= 0.5, chosen, ~chosen).to(p.dtype)
        both = (2 * edge - 1).clamp_min(0) ** (n - 1)  # probability that two draws both take the rare value
        variance = rare * (1 - rare)
        # (b - p) / (1 - rho) with 1 - rho = (rare - both) / variance; at p = 0 and 1 nothing varies
        directions = (bits - p) * (variance / (rare - both).clamp_min(torch.finfo(p.dtype).tiny))
        return in_memory_format_of(logits, bits), weighed(directions, logits), None


class BitFlip(Paired):
    """`bitflip`: both values of one unit, drawn at random from all of the site's.

    Forward: all units drawn, then unit k (uniform over the d units of an example) set to 1 in one lane, to 0 in the
    other. The lanes count with p_k and 1 - p_k wherever a mean over draws is meant.
    Backward: d p_k (1 - p_k) (f(b_k = 1) - f(b_k = 0)) for unit k, 0 for the others; averaged over `groups` draws.
    Bias and variance: unbiased; exact for a single unit, low where p is near 0 or 1, and growing with d. Two passes a
    group above the site; with several binary layers each opens a pair for each lane it meets.
    Source: Kunes et al. 2022 (2208.06124), bitflip-1.
    """

    shares_losses = False  # a lane's other examples are flipped too, and not as p would draw them

    def couple(self, logits: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        flat = logits.flatten(1)
        rows, units = flat.shape
        bits = draw(flat, groups)
        chosen = torch.randint(units, (groups, rows, 1), device=flat.device)
        p = torch.sigmoid(flat).expand(groups, -1, -1).gather(2, chosen)  # (groups, rows, 1)
        direction = torch.zeros_like(bits).scatter(2, chosen, 2 * units * p * (1 - p))
        shape = (groups, *logits.shape)
        one, other = (bits.scatter(2, chosen, value).view(shape) for value in (1.0, 0.0))
        return one, other, direction.view(shape), p.squeeze(2)
