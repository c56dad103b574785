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
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from binlit.estimator.base import Estimator


class StepError(RuntimeError):
    """A score function was used in a way in which its gradient would be wrong or silently zero."""


@dataclass(frozen=True)
class Draw:
    """What one site drew in this step.

    Attributes:
        site: name of the site.
        score: a scalar for each example, shape (*repeats, batch) or (batch,) where one lane is drawn: its gradient with
            respect to the logits is the direction that the reward is laid on. The log-probability of all of an
            example's bits together for a plain score function.
        repeats: repeats in force behind this site, innermost (latest) first.
        branched: whether the site added the first of `repeats`.
        weights: where a lane's values are not drawn from p: what makes the weighted mean over lanes unbiased, shape of
            score, mean 1 over lanes.
        kept: what else the estimator needs of this site at the end of the step.
    """

    site: str
    score: Tensor
    repeats: tuple[int, ...]
    branched: bool
    weights: Tensor | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)


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
        self.weights: Tensor | None = None  # see `loss`
        self.with_gradient = torch.is_grad_enabled()
        self._net = net
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Step:
        for unit in self.units:
            if unit.step is not None:
                raise StepError(f"site '{unit.site}' is already inside another step")
        for unit in self.units:
            unit.step = self
        if self.units and type(self.estimator).auxiliary_lanes is not Estimator.auxiliary_lanes:
            for module in self._net.modules():
                if isinstance(module, _BatchNorm):
                    self._handles += normalise_by_drawn_rows(module, self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        for unit in self.units:
            unit.step = None
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def inputs(self, x: Tensor) -> Tensor:
        """The batch as the net is to see it: x itself, or repeated where the estimator repeats at the input."""
        count = self.estimator.input_repeats()
        if count > 1:
            self.branch(count)
        return tile(x, count)

    def targets(self, y: Tensor) -> Tensor:
        """Targets (B, ...) repeated to match the net's output (R * B, ...). Call it after the forward pass."""
        return tile(y, math.prod(self.repeats))

    def drawn(self, rows: Tensor) -> Tensor:
        """The rows (R * B, ...) whose bits were drawn: all of them, unless the estimator adds relaxed or mean ones."""
        lanes = math.prod(self.repeats)
        return rows[: rows.shape[0] // lanes * (lanes - self.estimator.auxiliary_lanes(self))]

    def weighted(self, rewards: Tensor) -> Tensor:
        """Rewards or signals (..., B) as they count in the sum of the losses (see `weights` of `loss`)."""
        return rewards if self.weights is None else rewards * self.weights.to(rewards.dtype)

    def branch(self, count: int) -> None:
        """Called by an estimator that turns N rows into count * N, the new index outermost."""
        self.repeats = (count, *self.repeats)

    def add_lanes(self, count: int) -> None:
        """Called by an estimator that adds `count` copies of the batch behind all rows that there are."""
        self.repeats = (math.prod(self.repeats) + count,)

    def refuse_second_draw(self, site: str) -> None:
        """Raises StepError where the site has already drawn in this step."""
        if any(draw.site == site for draw in self.draws):
            raise StepError(
                f"site '{site}' drew twice in one step; a score function needs one call of the net a step, and of the "
                "site (one ReLU may serve a block twice): concatenate the inputs, give each place a module of its own, "
                "or use a pathwise estimator such as 'st'"
            )

    def record(
        self,
        site: str,
        score: Tensor,
        branched: bool = False,
        weights: Tensor | None = None,
        kept: dict[str, Tensor] | None = None,
    ) -> None:
        """Keeps what a site drew (see `Draw`); call it after `branch` or `add_lanes`."""
        self.draws.append(Draw(site, score, self.repeats, branched, weights, kept or {}))

    def loss(self, losses: Tensor, rewards: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """The scalar to back-propagate.

        Args:
            losses: loss of each example, shape (R * B,), not yet averaged. Its mean trains the layers that gradients
                reach through the graph.
            rewards: what each example's bits are held responsible for, shape (R * B,); the losses where not given.
            weights: where examples share losses (the queries of an episode share its support): shape (B,).
                `rewards[b]` is then the mean of the losses that example b has a part in, and weights[b] * rewards[b]
                what in the sum of `losses` depends on its bits.

        Raises:
            StepError: the losses do not match the repeats, or a score function has nothing recorded; or losses are
                shared and the estimator cannot tell what each example has to do with them.
        """
        if losses.ndim != 1 or losses.numel() % math.prod(self.repeats):
            raise StepError(
                f"losses must be one per example, ({math.prod(self.repeats)} * batch,), not {tuple(losses.shape)}; "
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
        batch = losses.numel() // math.prod(self.repeats)
        if weights is not None and (rewards is None or weights.shape != (batch,)):
            raise StepError(
                f"weights {tuple(weights.shape)} must be one for each of the {batch} examples, and stand beside rewards"
            )
        rewards = losses if rewards is None else rewards
        if rewards.shape != losses.shape or any(draw.score.shape[-1] != batch for draw in self.draws):
            drawn = self.draws[0].score.shape[-1] if self.draws else batch
            raise StepError(
                f"losses {tuple(losses.shape)} and rewards {tuple(rewards.shape)} must both hold one value for each of "
                f"the {drawn} examples drawn for, times {math.prod(self.repeats)} repeats"
            )
        self.weights = weights
        return self.estimator.loss(self, losses.view(*self.repeats, -1), rewards.view(*self.repeats, -1))


def tile(x: Tensor, count: int) -> Tensor:
    """(B, ...) -> (count * B, ...), copy after copy; x itself where count is 1."""
    return x if count == 1 else x.repeat(count, *[1] * (x.ndim - 1))


def normalise_by_drawn_rows(norm: nn.Module, step: Step) -> list[RemovableHandle]:
    """Makes a BatchNorm take its statistics, and its running ones, from the rows that hold drawn bits alone.

    Relaxed and mean values spread less than bits. Were they counted, a net trained with them would normalise otherwise
    than the net that is tested. They are normalised with the statistics of the drawn rows, held fixed.
    """
    held: list[tuple[Tensor, Tensor]] = []

    def split(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        drawn = step.drawn(args[0])
        held.append((drawn, args[0][drawn.shape[0] :]))
        return (drawn,)

    def join(module: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        drawn, others = held.pop()
        if not others.shape[0]:
            return output
        if module.training or module.running_mean is None:
            axes = [axis for axis in range(drawn.ndim) if axis != 1]
            variance, mean = torch.var_mean(drawn.detach().float(), axes, correction=0)
        else:
            mean, variance = module.running_mean, module.running_var
        weight, bias = (p if p is None else p.to(others.dtype) for p in (module.weight, module.bias))
        normalised = F.batch_norm(
            others, mean.to(others.dtype), variance.to(others.dtype), weight, bias, training=False, eps=module.eps
        )
        return torch.cat([output, normalised.to(output.dtype)])

    return [norm.register_forward_pre_hook(split), norm.register_forward_hook(join)]
