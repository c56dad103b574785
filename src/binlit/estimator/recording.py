"""What binary sites leave behind in one training step: what they drew, and how the rows of the batch are laid out.

A *lane* is one copy of the batch. An estimator that draws several times for an example, or that sends mean or relaxed
values beside the bits, turns the B rows of the batch into lanes * B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


class StepError(RuntimeError):
    """A score function was used in a way in which its gradient would be wrong or silently zero."""


@dataclass(frozen=True)
class Layout:
    """How rows are laid out behind the sites that were reached: row k * B + b is lane k of example b.

    Attributes:
        repeats: (K_last, ..., K_first), the branchings that made the lanes: k = k_last * (...) + k_first.
        auxiliary: how many lanes carry no drawn bits but mean or relaxed values; they come after the others.
    """

    repeats: tuple[int, ...] = ()
    auxiliary: int = 0

    @property
    def lanes(self) -> int:
        """How many times each example stands there, >= 1."""
        return math.prod(self.repeats)

    def branched(self, count: int) -> Layout:
        """Each row `count` times, the new index outermost; the same layout where count is 1."""
        return self if count == 1 else replace(self, repeats=(count, *self.repeats))

    def with_auxiliary(self, count: int = 1) -> Layout:
        """So many auxiliary lanes more, after all lanes that there are."""
        return Layout((self.lanes + count,), self.auxiliary + count)

    def follow(self, rows: Tensor, before: Layout) -> Tensor:
        """Rows that were laid out as `before` and are the same in each new lane: those of the lanes that are there now.

        A new branching repeats all rows, copy after copy; new auxiliary lanes are, up to here, the first of the drawn.
        """
        if self.auxiliary == before.auxiliary:
            return Layout((self.lanes // before.lanes,)).tile(rows)
        first = rows[: rows.shape[0] // before.lanes]
        return torch.cat([rows, Layout((self.lanes - before.lanes,)).tile(first)])

    def tile(self, x: Tensor) -> Tensor:
        """(B, ...) -> (lanes * B, ...), copy after copy; x itself where there is one lane."""
        return x if self.lanes == 1 else x.repeat(self.lanes, *[1] * (x.ndim - 1))

    def split(self, values: Tensor) -> Tensor:
        """One value a row, (lanes * B,) -> (*repeats, B)."""
        return values.reshape(*self.repeats, -1)

    def drawn(self, rows: Tensor) -> Tensor:
        """The rows (lanes * B, ...) of the lanes whose bits were drawn."""
        return rows[: rows.shape[0] // self.lanes * (self.lanes - self.auxiliary)]


@dataclass(frozen=True)
class Draw:
    """What one site drew in this step; each kind of score function adds what it needs at the end of the step.

    Attributes:
        site: name of the site.
        examples: how many examples it drew for, B.
        weights: where a lane's bits are not drawn from p: what makes the weighted mean over lanes unbiased, shape
            (*repeats, B), mean 1 over lanes.
    """

    site: str
    examples: int
    weights: Tensor | None = field(default=None, kw_only=True)


class Recording:
    """What the score function of a net records in one step, site by site."""

    def __init__(self) -> None:
        self.draws: list[Any] = []  # one for each site that was reached, of the estimator's own kind of `Draw`
        self.layout = Layout()  # of the rows behind the last site that was reached
        self.weights: Tensor | None = None  # see `Step.loss`
        self.with_gradient = torch.is_grad_enabled()  # where the step began

    def refuse_second_draw(self, site: str) -> None:
        """Raises StepError where the site has already drawn in this step."""
        if any(draw.site == site for draw in self.draws):
            raise StepError(
                f"site '{site}' drew twice in one step; a score function needs one call of the net a step, and of the "
                "site (one ReLU may serve a block twice): concatenate the inputs, give each place a module of its own, "
                "or use a pathwise estimator such as 'st'"
            )

    def record(self, draw: Draw, layout: Layout) -> None:
        """Keeps what a site drew, and how it lays out the rows that it sends on."""
        self.draws.append(draw)
        self.layout = layout

    def weighted(self, rewards: Tensor) -> Tensor:
        """Rewards or signals (..., B) as they count in the sum of the losses (see `weights` of `Step.loss`)."""
        return rewards if self.weights is None else rewards * self.weights.to(rewards.dtype)
