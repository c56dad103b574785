"""A training step that score-function estimators can record into.

    with Step(net) as step:
        losses = F.cross_entropy(net(step.inputs(x)), step.targets(y), reduction="none")
        loss = step.loss(losses)
    loss.backward()

The same lines serve a pathwise rule, a score function, and a net with no binary unit at all. Everything recorded
belongs to the `Step` object: nothing global, and nothing left in the net once the block ends, by an exception or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import TracebackType

from torch import Tensor, nn

from binlit.estimator.base import Estimator


class StepError(RuntimeError):
    """A score function was used in a way in which its gradient would be wrong or silently zero."""


@dataclass(frozen=True)
class Draw:
    """What one site drew in this step.

    Attributes:
        site: name of the site.
        log_prob: log-probability of all of an example's bits together, shape (*repeats_here, batch).
        repeats: repeats in force behind this site, innermost (latest) first.
    """

    site: str
    log_prob: Tensor
    repeats: tuple[int, ...]


class Step:
    """Owns what the binary units of `net` record during one training step.

    Args:
        net: a net with or without binary units (see `binlit.binarize`).

    Raises:
        StepError: two units of `net` disagree about the estimator, or a step is opened inside another.
    """

    def __init__(self, net: nn.Module) -> None:
        from binlit.binary.unit import BinaryActivation  # the unit imports this module for its types

        self.units = [module for module in net.modules() if isinstance(module, BinaryActivation)]
        estimators = {id(unit.estimator): unit.estimator for unit in self.units}
        if len(estimators) > 1:
            names = ", ".join(sorted(type(e).__name__ for e in estimators.values()))
            raise StepError(f"the units of one net share one estimator, but this net holds {len(estimators)}: {names}")
        self.estimator: Estimator = next(iter(estimators.values()), Estimator())
        self.draws: list[Draw] = []
        self.repeats: tuple[int, ...] = ()  # (K_last, ..., K_first): row index = k_last * (...) + k_first * B + b

    def __enter__(self) -> Step:
        for unit in self.units:
            if unit.step is not None:
                raise StepError(f"site '{unit.site}' is already inside another step")
        for unit in self.units:
            unit.step = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        for unit in self.units:
            unit.step = None

    def inputs(self, x: Tensor) -> Tensor:
        """The batch as the net is to see it: x itself, or repeated where the estimator repeats at the input."""
        count = self.estimator.input_repeats()
        if count > 1:
            self.branch(count)
        return tile(x, count)

    def targets(self, y: Tensor) -> Tensor:
        """Targets (B, ...) repeated to match the net's output (R * B, ...). Call it after the forward pass."""
        return tile(y, math.prod(self.repeats))

    def branch(self, count: int) -> None:
        """Called by an estimator that turns N rows into count * N, the new index outermost."""
        self.repeats = (count, *self.repeats)

    def record(self, site: str, log_prob: Tensor) -> None:
        """Keeps a site's log-probabilities, shape (R * B,) with R the repeats so far.

        Raises:
            StepError: the site has already been recorded in this step.
        """
        if any(draw.site == site for draw in self.draws):
            raise StepError(
                f"site '{site}' drew twice in one step; a score function needs one call of the net a step: "
                "concatenate the inputs, or use a pathwise estimator such as 'st'"
            )
        self.draws.append(Draw(site, log_prob.view(*self.repeats, -1), self.repeats))

    def loss(self, losses: Tensor, rewards: Tensor | None = None) -> Tensor:
        """The scalar to back-propagate.

        Args:
            losses: loss of each example, shape (R * B,), not yet averaged. Its mean trains the layers that gradients
                reach through the graph.
            rewards: what each example's bits are held responsible for, shape (R * B,); the losses where not given.

        Raises:
            StepError: the losses do not match the repeats, or a score function has nothing recorded.
        """
        if losses.ndim != 1 or losses.numel() % math.prod(self.repeats):
            raise StepError(
                f"losses must be one per example, ({math.prod(self.repeats)} * batch,), not {tuple(losses.shape)}; "
                'use reduction="none" and step.targets(y)'
            )
        if self.estimator.score_function and self.units and not self.draws:
            names = ", ".join(unit.site for unit in self.units)
            raise StepError(f"no binary site was reached in this step ({names}): call the net inside the step")
        rewards = losses if rewards is None else rewards
        batch = losses.numel() // math.prod(self.repeats)
        if rewards.shape != losses.shape or any(draw.log_prob.shape[-1] != batch for draw in self.draws):
            drawn = self.draws[0].log_prob.shape[-1] if self.draws else batch
            raise StepError(
                f"losses {tuple(losses.shape)} and rewards {tuple(rewards.shape)} must both hold one value for each of "
                f"the {drawn} examples drawn for, times {math.prod(self.repeats)} repeats"
            )
        return self.estimator.loss(self, losses.view(*self.repeats, -1), rewards.detach().view(*self.repeats, -1))


def tile(x: Tensor, count: int) -> Tensor:
    """(B, ...) -> (count * B, ...), copy after copy; x itself where count is 1."""
    return x if count == 1 else x.repeat(count, *[1] * (x.ndim - 1))
