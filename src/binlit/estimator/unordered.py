"""Draws without replacement: all K draws of an example differ, and count by what that makes of their chances."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from binlit.estimator.base import Call, at_least_one
from binlit.estimator.recording import Recording, StepError
from binlit.estimator.score_function import (
    LeaveOneOut,
    Scored,
    in_memory_format_of,
    log_prob,
    open_step,
)

MOST_DRAWS = 8  # the sums go over all their subsets


@dataclass(frozen=True, kw_only=True)
class Distinct(Scored):
    """A site whose draws all differ; p: their probabilities, (K, *repeats before, B); pairs: see `ratios`."""

    p: Tensor
    pairs: Tensor


class Unordered(LeaveOneOut):
    """`unordered`: K draws that all differ, weighed as the set that they are, compared with one another.

    Forward: b_1 ... b_K drawn from p one after the other, none twice. The lanes count with w_s = P(b_s) R(S, s), whose
    sum is 1, wherever a mean over draws is meant: R(S, s) is the chance that the others of the set S are drawn once s
    is, over the chance of S.
    Backward: sum_s w_s (f_s - c_s) (b_s - p), c_s = P(b_s) f_s + sum_{r != s} P(b_r) R(S less s, r) f_r.
    Bias and variance: unbiased; exact where K reaches the number of configurations, and `rloo` where each of them is
    improbable, as with many units: more than `most_units` at a site are refused. K passes above the first site; later
    sites draw once, independently, for each lane (as in `rloo`), unless a list of counts lets them draw sets of their
    own.
    Source: Kool et al. 2020 (2002.06043), the unordered set policy gradient with built-in baseline.

    Args:
        draws: K at the first site, 2 to 8, or a list with a count for each of the net's sites. A site with fewer
            configurations takes all of them.
        most_units: of one example at a site, >= 1: they are drawn one by one.

    Raises:
        ValueError: no count reaches 2, or one is above 8; or a site has more units (as soon as an example is known).
    """

    shares_losses = False  # a lane's other examples are not drawn from p alike

    def __init__(self, draws: int | Sequence[int] = 4, most_units: int = 128) -> None:
        super().__init__(draws)
        if max(self.draws) > MOST_DRAWS:
            raise ValueError(f"draws={draws} is above {MOST_DRAWS}: all subsets of the draws are gone through")
        self.most_units = at_least_one("most_units", most_units)

    def prepare(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for site, shape in shapes.items():
            if problem := self.too_many(site, torch.Size(shape).numel()):
                raise ValueError(problem)

    def too_many(self, site: str, units: int) -> str | None:
        """What is wrong with so many units at a site."""
        if units <= self.most_units:
            return None
        return (
            f"'unordered' draws the units of a site one by one, and '{site}' has {units} (at most "
            f"most_units={self.most_units}): use 'rloo', which it comes to for so many"
        )

    def forward(self, call: Call) -> Tensor:
        step = open_step(self, call)
        logits, count = call.logits(), self.draws_here(call, bool(step.draws))
        units = logits[0].numel()
        if problem := self.too_many(call.site, units):
            raise StepError(problem)
        if count == 1:
            return super().forward(call)
        phi = logits.detach().flatten(1).double()
        bits = without_replacement(torch.sigmoid(phi), min(count, 2**units))
        p = log_prob(bits, phi).exp()
        chances, pairs = ratios(p)
        bits = in_memory_format_of(logits, bits.to(logits.dtype).view(len(bits), *logits.shape))
        layout = step.layout.branched(len(bits))
        p, weights, pairs = (  # each row's own lanes in front of those that it came in
            values.to(logits.dtype).reshape(*values.shape[: values.ndim - 1], *step.layout.repeats, -1)
            for values in (p, len(bits) * chances, pairs)
        )
        score = layout.split(log_prob(bits, logits))
        step.record(
            Distinct(
                site=call.site, examples=score.shape[-1], score=score, branched=True, weights=weights, p=p, pairs=pairs
            ),
            layout,
        )
        return call.emit(bits.flatten(0, 1).to(call.z.dtype))

    def advantage(self, step: Recording, drawn: Scored, rewards: Tensor) -> Tensor:
        if not isinstance(drawn, Distinct):
            return super().advantage(step, drawn, rewards)
        assert drawn.weights is not None
        return drawn.weights * (rewards - drawn.p * rewards - (drawn.pairs * rewards).sum(1))


def without_replacement(p: Tensor, count: int) -> Tensor:
    """Bits (count, N, U) drawn with the probabilities p (N, U), one set of bits after the other, none twice in a row N.

    Unit by unit, given those before it: a value's chance is p's, less the part of it that leads to earlier draws.
    """
    found: list[Tensor] = []
    for _ in range(count):
        u = torch.rand_like(p)
        if not found:
            found.append((u < p).to(p.dtype))
            continue
        before = torch.stack(found)  # (k, N, U)
        own = torch.where(before > 0, p, 1 - p)
        behind = torch.cat([own[..., 1:], torch.ones_like(own[..., :1])], -1).flip(-1).cumprod(-1).flip(-1)
        agrees, bits = torch.ones_like(behind[..., 0]), []  # with which earlier draw the bits so far agree
        for i in range(p.shape[1]):
            taken = agrees * behind[..., i]
            on = p[:, i] * (1 - (taken * before[..., i]).sum(0)).clamp_min(0)
            off = (1 - p[:, i]) * (1 - (taken * (1 - before[..., i])).sum(0)).clamp_min(0)
            bits.append((u[:, i] * (on + off) < on).to(p.dtype))
            agrees = agrees * (before[..., i] == bits[-1])
        found.append(torch.stack(bits, -1))
    return torch.stack(found)


def ratios(p: Tensor) -> tuple[Tensor, Tensor]:
    """Of the probabilities p (K, N) of draws that all differ: (w_s, (K, N)), and P(b_r) R(S less s, r) as (s, r, N).

    Divided by the product of the p of what is still to come, the probability that a set A is completed to S is
    G(A) = sum_{s not in A} G(A with s) / (1 - P(A)), G(S) = 1: no p is so small that it is lost.
    """
    count = len(p)
    whole = frozenset(range(count))
    completed: dict[frozenset[int], Tensor] = {whole: torch.ones_like(p[0])}
    for size in range(count - 1, -1, -1):
        for chosen in map(frozenset, itertools.combinations(range(count), size)):
            total = sum((completed[chosen | {s}] for s in whole - chosen), torch.zeros_like(p[0]))
            left = 1 - sum((p[s] for s in sorted(chosen)), torch.zeros_like(p[0]))
            completed[chosen] = total / left.clamp_min(torch.finfo(p.dtype).eps)
    chances = torch.stack([completed[frozenset({s})] for s in range(count)]) / completed[frozenset()]
    pairs = [
        [completed[frozenset({s, r})] / completed[frozenset({s})] if r != s else torch.zeros_like(p[0]) for r in whole]
        for s in range(count)
    ]
    return chances, torch.stack([torch.stack(row) for row in pairs])
