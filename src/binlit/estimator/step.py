"""A training step that score-function estimators can record into.

    with Step(net) as step:
        losses = F.cross_entropy(net(step.inputs(x)), step.targets(y), reduction="none")
        loss = step.loss(losses)
    loss.backward()

The same lines serve a pathwise rule, a score function, and a net with no binary unit at all. Everything recorded
belongs to the `Step` object: nothing global, and nothing left in the net once the block ends, by an exception or not.
"""

from __future__ import annotations

from types import TracebackType

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from binlit.estimator.base import Estimator
from binlit.estimator.recording import Recording, StepError


class Unit(nn.Module):
    """What a step looks for in a net: a module that draws bits by an estimator's rule and records them in the step."""

    estimator: Estimator
    site: str
    step: Step | None = None


class Step(Recording):
    """Owns what the binary units of `net` record during one training step.

    Args:
        net: a net with or without binary units (see `binlit.binarize`).

    Raises:
        StepError: two units of `net` disagree about the estimator, or a step is opened inside another.

    Examples:
        >>> import binlit, torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> net = binlit.binarize(net, layers=1, estimator="reinforce")
        >>> x, y = torch.randn(16, 4), torch.randint(2, (16,))
        >>> with binlit.Step(net) as step:
        ...     logits = net(step.inputs(x))
        ...     losses = nn.functional.cross_entropy(logits, step.targets(y), reduction="none")
        ...     loss = step.loss(losses)
        >>> loss.backward()
        >>> bool(net[0].weight.grad.abs().sum() > 0)
        True
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.units = [module for module in net.modules() if isinstance(module, Unit)]
        estimators = {id(unit.estimator): unit.estimator for unit in self.units}
        if len(estimators) > 1:
            names = ", ".join(sorted(type(e).__name__ for e in estimators.values()))
            raise StepError(f"the units of one net share one estimator, but this net holds {len(estimators)}: {names}")
        self.estimator: Estimator = next(iter(estimators.values()), Estimator())
        self._net = net
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Step:
        for unit in self.units:
            if unit.step is not None:
                raise StepError(f"site '{unit.site}' is already inside another step")
        self._handles = self.estimator.hooks(self._net, self)
        for unit in self.units:
            unit.step = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        for unit in self.units:
            unit.step = None
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def inputs(self, x: Tensor) -> Tensor:
        """The batch as the net is to see it: x itself, or repeated with `repeat_at=input`.

        By default a score function repeats it later, at the first site that draws: see `ScoreFunction.forward`.
        """
        at_input = self.estimator.input_layout()
        self.layout = self.layout.branched(at_input.lanes)
        return at_input.tile(x)

    def targets(self, y: Tensor) -> Tensor:
        """Targets (B, ...) repeated to match the net's output (lanes * B, ...). Call it after the forward pass."""
        return self.layout.tile(y)

    def drawn(self, rows: Tensor) -> Tensor:
        """The rows (lanes * B, ...) whose bits were drawn: all, unless the estimator adds relaxed or mean ones."""
        return self.layout.drawn(rows)

    def loss(self, losses: Tensor, rewards: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """The scalar to back-propagate.

        Args:
            losses: loss of each example, shape (lanes * B,), not yet averaged. Its mean trains the layers that
                gradients reach through the graph. Where examples share losses: a query's own, 0 for other examples.
            rewards: what each example's bits are held responsible for, shape (lanes * B,); the losses where not given.
            weights: where examples share losses (the queries of an episode share its support): shape (B,).
                `rewards[b]` is then the mean of the losses that example b has a part in, and weights[b] * rewards[b]
                what in the sum of `losses` depends on its bits.

        Raises:
            StepError: the losses do not match the repeats, or a score function has nothing recorded; or losses are
                shared and the estimator cannot tell what each example has to do with them.
        """
        lanes = self.layout.lanes
        if losses.ndim != 1 or losses.numel() % lanes:
            raise StepError(
                f"losses must be one per example, ({lanes} * batch,), not {tuple(losses.shape)}; "
                'use reduction="none" and step.targets(y)'
            )
        if self.estimator.score_function and self.units and not self.draws:
            names = ", ".join(unit.site for unit in self.units)
            raise StepError(f"no binary site was reached in this step ({names}): call the net inside the step")
        if weights is not None and not self.estimator.shares_losses:
            raise StepError(
                f"'{type(self.estimator).__name__}' draws its lanes in a way that is right for one example at a time, "
                "and here examples share losses; use another score function, such as 'rloo' or 'disarm'"
            )
        batch = losses.numel() // lanes
        if weights is not None and (rewards is None or weights.shape != (batch,)):
            raise StepError(
                f"weights {tuple(weights.shape)} must be one for each of the {batch} examples, and stand beside rewards"
            )
        rewards = losses if rewards is None else rewards
        if rewards.shape != losses.shape or any(draw.examples != batch for draw in self.draws):
            drawn = self.draws[0].examples if self.draws else batch
            raise StepError(
                f"losses {tuple(losses.shape)} and rewards {tuple(rewards.shape)} must both hold one value for each of "
                f"the {drawn} examples drawn for, times {lanes} repeats"
            )
        self.weights = weights
        return self.estimator.loss(self, self.layout.split(losses), self.layout.split(rewards))
