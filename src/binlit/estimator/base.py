"""The one interface behind every gradient estimator.

A unit hands its estimator a `Call`: pre-activation, surrogate, levels, and whether chance is wanted. A *pathwise* rule
answers with a value whose backward pass it shapes, and nothing else. A *score-function* rule also leaves a record in
the `Step`, and turns the recorded log-probabilities and the loss of each example into the scalar to back-propagate.
The task does not know which of the two it is talking to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from binlit.estimator.recording import Layout, Recording
from binlit.estimator.surrogate import Surrogate


def levels_low(levels: str) -> float:
    """The lower of the two values that a bit is sent out as: 0 for `01`, -1 for `pm1` (the upper is always 1)."""
    lows = {"01": 0.0, "pm1": -1.0}
    if levels not in lows:
        raise ValueError(f"levels={levels!r} is not known; choose '01' (bits 0 and 1) or 'pm1' (bits -1 and +1)")
    return lows[levels]


def within_torch_func() -> bool:
    """Whether a transformation of torch.func (vmap, grad) is at work: no looking at values, no inner backward pass."""
    return torch._C._functorch.peek_interpreter_stack() is not None  # type: ignore[attr-defined]


def at_least_float32(x: Tensor) -> Tensor:
    """x, widened where it has less than float32: a uniform number of 8 bits would draw p to the nearest 1/256."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@dataclass(frozen=True)
class Call:
    """One call of a binary unit: what an estimator needs to know to answer it.

    Attributes:
        x: the unit's input less its threshold, shape (N, ...), any float dtype; never changed in place.
        z: slope * x, same shape.
        surrogate: gives the firing probability p(z), and its logit where p stays inside (0, 1).
        low: value of a bit that is off (0 or -1); a bit that is on is 1.
        stochastic: what `bit` does: draw (True), or threshold at p = 1/2 (False). A score function always draws while
            the net is trained.
        step: the training step that records, or None outside one.
        site: name of the site, for error messages and records.
        number: which of the net's sites this is, from 1; None for a module outside the list of sites.
    """

    x: Tensor
    z: Tensor
    surrogate: Surrogate
    low: float
    stochastic: bool
    step: Recording | None
    site: str
    number: int | None = None

    def bit(self) -> Tensor:
        """The bit as 0.0 or 1.0, with no gradient: 1[u < p], u uniform on [0, 1), or 1[z >= 0]. Shape of z.

        z >= 0 and p >= 1/2 are the same thing (each surrogate has p(0) = 1/2 and grows), but the sign of z survives
        where p rounds to 1/2. So a unit at exactly p = 1/2 is on, and sign(0) = +1. NaN stays NaN: a net that has
        diverged must not be hidden behind bits.
        """
        z = self.z.detach()
        if not self.stochastic:
            return torch.where(z.isnan(), z, (z >= 0).to(z.dtype))
        p = self.surrogate.probability(at_least_float32(z))
        return torch.where(z.isnan(), z, (torch.rand_like(p) < p).to(z.dtype))

    def logits(self) -> Tensor:
        """log(p / (1 - p)), differentiable, in float32 or wider; shape of z. ValueError where p reaches 0 or 1."""
        return at_least_float32(self.surrogate.logits(self.z))

    def emit(self, bit: Tensor) -> Tensor:
        """Maps [0, 1] onto [low, 1], for bits and for probabilities alike."""
        return bit if self.low == 0 else bit * (1 - self.low) + self.low


class Estimator(nn.Module):
    """Base of all estimators; subclasses define `forward`, and `loss` where the rule needs the loss of each example.

    Attributes:
        score_function: True where the rule needs a `Step` around the training step, chance, and the logit of p.
            Pathwise rules (False) work in any training loop as they are.
        needs_logit: True where p must stay inside (0, 1), so that its logit exists.
        needs_chance: True for a pathwise rule that means nothing where the bit is thresholded. (A score function draws
            in training in both modes.)
        learns: True where the rule has parameters of its own whose sizes depend on the sites; see `prepare`.
        differentiates: True where the rule runs a backward pass of its own within the step, which torch.func does not
            see.
        shares_losses: False where the estimate is wrong as soon as one example's loss depends on another one's bits.
        learning_rate: of the rule's own parameters, which get an optimiser group of their own; None for the net's.
    """

    score_function: bool = False
    needs_logit: bool = False
    needs_chance: bool = False
    learns: bool = False
    differentiates: bool = False
    shares_losses: bool = True
    learning_rate: float | None = None

    def input_layout(self) -> Layout:
        """How the batch is to be laid out at the net's input: as it is, or repeated."""
        return Layout()

    def hooks(self, net: nn.Module, step: Recording) -> list[RemovableHandle]:
        """Hooks on the net that the rule needs while a step is open, which removes them at its end."""
        return []

    def prepare(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Makes the rule's own parameters, given the shape of one example's units at each site.

        Raises:
            ValueError: the rule is not for such sites.
        """

    def begin_epoch(self, epoch: int) -> None:
        """Called before each epoch (1, 2, ...); scheduled rules move on."""

    def firing_probability(self, call: Call) -> Tensor:
        """The p with which `forward` draws, differentiable, shape of z: what exact enumeration sums over."""
        return call.surrogate.probability(call.z)

    def forward(self, call: Call) -> Tensor:
        """Training-time output of the unit, values in {low, 1}, shape (lanes * B, ...) for a batch of B."""
        raise NotImplementedError(f"{type(self).__name__} has no forward rule")

    def evaluate(self, call: Call) -> Tensor:
        """Output of the unit in evaluation mode: the bit, drawn or thresholded, one for each input value."""
        return call.emit(call.bit())

    def loss(self, step: Recording, losses: Tensor, rewards: Tensor) -> Tensor:
        """The scalar to back-propagate; losses and rewards (*step.layout.repeats, B), both with a graph."""
        return losses.mean()


def add_gradient(total: Tensor, term: Tensor) -> Tensor:
    """`total` with the gradient of `term` added, and its own value."""
    return total + (term - term.detach())


def above_zero(name: str, value: float) -> float:
    """`value`, refused where it is not above 0."""
    if not value > 0:
        raise ValueError(f"{name}={value} must be above 0")
    return value


def at_least_one(name: str, value: int) -> int:
    """`value`, refused where it is below 1."""
    if value < 1:
        raise ValueError(f"{name}={value} must be at least 1")
    return value
