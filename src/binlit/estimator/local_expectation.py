"""The expectation over each unit in turn, taken exactly: local expectation gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from binlit.estimator.base import Call, add_gradient, at_least_one
from binlit.estimator.control_variate import ControlVariate
from binlit.estimator.recording import Draw, Recording, StepError
from binlit.estimator.score_function import in_memory_format_of, open_step, weighed


@dataclass(frozen=True)
class Flipped(Draw):
    """What a site leaves: its logits and bits (B, ...), and the first of the lanes in which one unit is flipped."""

    logits: Tensor
    bits: Tensor
    first: int


class LocalExpectation(ControlVariate):
    """`local_expectation` (for bits also GO): both values of every unit, the others left as they were drawn.

    Forward: b ~ Bernoulli(p); one lane more for each unit of each site, in which that unit is flipped. Later sites draw
    from the same uniform numbers in all lanes, so that no more differs than the flip brings about.
    Backward: p_i (1 - p_i) (f(b_i = 1) - f(b_i = 0)) for every unit i.
    Bias and variance: unbiased. The expectation over unit i is exact and the other units are drawn, so that what varies
    is how far they change what it is worth: nothing for one unit, or for a loss that is a sum over units. With several
    binary layers f(b) is itself a draw. Passes: 1 + the number of binary units above the first site, which is why more
    than `most_units` are refused.
    Source: Titsias and Lazaro-Gredilla 2015 (1503.01494); the same for bits as GO, Cong et al. 2019 (1901.06020).

    Args:
        most_units: of one example at all binary sites together, >= 1.

    Raises:
        ValueError: the net has more units (as soon as an example is known).
    """

    differentiates = False
    shares_losses = False  # a lane's other examples are flipped too, and not as p would draw them

    def __init__(self, most_units: int = 256) -> None:
        super().__init__()
        self.most_units = at_least_one("most_units", most_units)

    def prepare(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        if problem := self.too_many({site: torch.Size(shape).numel() for site, shape in shapes.items()}):
            raise ValueError(problem)

    def too_many(self, units: Mapping[str, int]) -> str | None:
        """What is wrong with so many units at each site."""
        if sum(units.values()) <= self.most_units:
            return None
        counts = ", ".join(f"{count} at '{site}'" for site, count in units.items())
        return (
            f"'local_expectation' needs a pass for each binary unit, and here are {counts} (at most "
            f"most_units={self.most_units} in all): make a smaller layer binary, raise most_units, or use 'rloo'"
        )

    def forward(self, call: Call) -> Tensor:
        step = open_step(self, call)
        lanes = step.layout.lanes
        logits = call.logits().unflatten(
            0, (lanes, -1)
        )  # (lanes, B, ...): a later site meets all flips of earlier ones
        examples, units = logits.shape[1], logits[0, 0].numel()
        if problem := self.too_many({drawn.site: drawn.bits[0].numel() for drawn in step.draws} | {call.site: units}):
            raise StepError(problem)
        p = torch.sigmoid(logits.detach())
        bits = (torch.rand_like(p[0]) < p).to(p.dtype)
        flips = torch.eye(units, dtype=p.dtype, device=p.device).view(units, 1, *logits.shape[2:])
        flipped = (bits[0] - flips).abs()
        step.record(Flipped(call.site, examples, logits[0], bits[0], lanes), step.layout.with_auxiliary(units))
        out = in_memory_format_of(logits[0], torch.cat([bits, flipped])).flatten(0, 1)
        return call.emit(out.to(call.z.dtype))

    def loss(self, step: Recording, losses: Tensor, rewards: Tensor) -> Tensor:
        total, f = losses[0].mean(), step.weighted(rewards.detach())
        drawn: Flipped
        for drawn in step.draws:
            units = drawn.bits[0].numel()
            lost = (f[0] - f[drawn.first : drawn.first + units]).T.reshape(drawn.bits.shape)  # f(b) - f(flipped)
            p = torch.sigmoid(drawn.logits.detach())
            estimate = p * (1 - p) * (2 * drawn.bits - 1) * lost
            total = add_gradient(total, weighed(estimate[None], drawn.logits).mean())
        return total
