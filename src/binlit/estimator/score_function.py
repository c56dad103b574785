"""Score-function rules: the true REINFORCE, and leave-one-out with K draws.

For one example with loss f(b) and bits b ~ Bernoulli(p(phi)),

    d/dphi E[f(b)] = E[(f(b) - c) * d/dphi log P(b)],     log P(b) = sum_i b_i phi_i - log(1 + exp(phi_i)),

for any baseline c that does not depend on b (Williams 1992, Theorem 1). The gradient of the scalar returned by `loss`
with respect to the logits phi is one draw of the right-hand side, averaged over draws and examples; pathwise gradients
go on reaching everything above the last site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from binlit.estimator.base import Call, Estimator, add_gradient, at_least_float32, within_torch_func
from binlit.estimator.recording import Draw, Layout, Recording, StepError


@dataclass(frozen=True)
class Scored(Draw):
    """A site that lays rewards on scores.

    Attributes:
        score: shape (*repeats, B). Back-propagating advantage * score gives the estimate. For independent draws it is
            the log-probability of all of an example's bits at the site.
        branched: whether the site opened lanes (the first of `repeats`).
        predicted: a learned baseline; shape of score, less the lanes that the site opened.
    """

    score: Tensor
    branched: bool
    predicted: Tensor | None = None


class ScoreFunction(Estimator):
    """Draws the bits and records their score; subclasses define the advantage, and `sample` for draws of their own.

    Args:
        draws: how many draws share one example. An integer K draws K times at the first site that is reached; each
            later site then draws once for each of the K. A list gives each of the net's sites its own count: with
            [4, 8] site 1 draws 4 times and site 2 draws 8 times, for each of the 4 where both are binary.
        repeat_at: `site` repeats the batch where the first bits are drawn, so that the layers below run once; `input`
            repeats it at the net's input, for nets in which something bypasses the site (a skip connection).

    Raises:
        ValueError: draws < 1, or repeat_at is not known, or several counts with `input`.
    """

    score_function = needs_logit = True

    def __init__(self, draws: int | Sequence[int] = 1, repeat_at: str = "site") -> None:
        super().__init__()
        self.draws = [draws] if isinstance(draws, int) else list(draws)
        self.repeat_at = repeat_at
        if not self.draws or min(self.draws) < 1:
            raise ValueError(f"draws={draws} is too few: at least 1 at each site")
        if repeat_at not in ("site", "input"):
            raise ValueError(f"repeat_at={repeat_at!r} is not known; choose 'site' or 'input'")
        if repeat_at == "input" and len(self.draws) > 1:
            raise ValueError(f"draws={draws}: with repeat_at='input' all sites share one count, give one integer")

    def input_layout(self) -> Layout:
        return Layout().branched(self.draws[0]) if self.repeat_at == "input" else Layout()

    def draws_here(self, call: Call, repeated: bool) -> int:
        """How many times this site draws for each row; `repeated` where an earlier site has drawn."""
        if self.repeat_at == "input":
            return 1
        if len(self.draws) == 1:
            return 1 if repeated else self.draws[0]
        if call.number is None or call.number > len(self.draws):
            place = f"'{call.site}'" + (f" (site {call.number})" if call.number else "")
            raise StepError(f"draws={self.draws} has no count for {place}; give one for each site, or one integer")
        return self.draws[call.number - 1]

    def forward(self, call: Call) -> Tensor:
        step = open_step(self, call)
        bits, score, weights = self.sample(call, self.draws_here(call, bool(step.draws)))
        layout, predicted = step.layout.branched(len(bits)), self.predicted(call, step.layout)
        score, weights = layout.split(score), weights if weights is None else layout.split(weights)
        step.record(Scored(call.site, score.shape[-1], score, len(bits) > 1, predicted, weights=weights), layout)
        # (K, N, ...) -> (K * N, ...): here the batch becomes K lanes; all that comes later has K times the rows
        return call.emit(bits.flatten(0, 1).to(call.z.dtype))

    def sample(self, call: Call, count: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Bits (K, N, ...) for the N = lanes * B rows that arrive here, their score (K, N), and lanes' weights (K, N).

        The weights are None where the lanes are drawn from p, so that all count alike.
        """
        logits = call.logits()
        bits = draw(logits.detach(), count)
        return bits, log_prob(bits, logits), None

    def predicted(self, call: Call, layout: Layout) -> Tensor | None:
        """A learned baseline of the reward of each row that the site meets, (*layout.repeats, B); None for none."""
        return None

    def advantage(self, step: Recording, drawn: Scored, rewards: Tensor) -> Tensor:
        """rewards less a baseline that does not depend on the draw that it is compared with; shape kept."""
        raise NotImplementedError

    def loss(self, step: Recording, losses: Tensor, rewards: Tensor) -> Tensor:
        """The mean loss, and for each site, the last one first, a term of gradient and no value.

        The term is the mean of advantage * score. After a site the rewards are averaged over the lanes that it opened:
        an earlier site is held responsible for the mean over all that was drawn after it.
        """
        if any(drawn.weights is not None for drawn in step.draws):  # lanes that p did not draw do not count alike
            for drawn in reversed(step.draws):
                losses = mean_over_lanes(drawn, losses)
        total, rewards = losses.mean(), rewards.detach()
        for number, drawn in reversed(list(enumerate(step.draws))):
            term = step.weighted(self.advantage(step, drawn, rewards)) * drawn.score
            for earlier in step.draws[:number]:
                term = term if earlier.weights is None else term * earlier.weights  # dimensions in front are later ones
            total = add_gradient(total, term.mean())
            rewards = mean_over_lanes(drawn, rewards)
        return total


def mean_of_others(step: Recording, rewards: Tensor) -> Tensor:
    """For each example of the batch (last dimension) the mean reward of the others; shape kept.

    0 where examples share losses: the others' rewards then depend on the example's own bits.
    """
    if step.weights is not None:
        return torch.zeros_like(rewards)
    return (rewards.sum(-1, keepdim=True) - rewards) / max(rewards.shape[-1] - 1, 1)


def open_step(estimator: Estimator, call: Call) -> Recording:
    """The step that the call belongs to.

    Raises:
        StepError: there is none, or the site has drawn in it before; or gradient checkpointing is what calls, or
            torch.func where the rule differentiates.
    """
    if estimator.differentiates and within_torch_func():
        raise StepError(
            f"site '{call.site}': '{type(estimator).__name__}' differentiates within the step, which torch.func (vmap, "
            "grad) does not see; use a plain backward pass, or another score function such as 'rloo' or 'disarm'"
        )
    if torch._C._current_graph_task_id() != -1:  # as torch.utils.checkpoint asks
        raise StepError(
            f"site '{call.site}' is called once more by the backward pass (gradient checkpointing), and the "
            f"score-function estimator '{type(estimator).__name__}' lays its gradient on the first call: leave the "
            "site out of what is checkpointed, or choose a pathwise estimator such as 'st'"
        )
    if call.step is None:
        raise StepError(
            f"site '{call.site}' has the score-function estimator '{type(estimator).__name__}', which needs the loss "
            "of each example: run the net inside `with binlit.Step(net) as step:` and back-propagate "
            "step.loss(losses), or choose a pathwise estimator such as 'st'"
        )
    if call.step.with_gradient and not torch.is_grad_enabled():
        raise StepError(
            f"site '{call.site}' drew where gradients are off (torch.no_grad, gradient checkpointing with "
            f"use_reentrant=True), and the gradient of the score-function estimator '{type(estimator).__name__}' would "
            "be 0: leave the site out of that, or choose a pathwise estimator such as 'st'"
        )
    call.step.refuse_second_draw(call.site)
    return call.step


def mean_over_lanes(drawn: Scored, values: Tensor) -> Tensor:
    """Values (*repeats, B) averaged over the lanes that the site opened: an estimate of E[value | below]."""
    if not drawn.branched:
        return values
    return values.mean(0) if drawn.weights is None else (drawn.weights * values).mean(0)


class Reinforce(ScoreFunction):
    """`reinforce`: the score function with a moving average of the loss as baseline.

    Forward: b ~ Bernoulli(p).
    Backward: (f - c) * (b - p) for each example, c the moving average of f over past steps (over the other examples
    of the batch in the very first step), so that c never depends on the bits it is compared with.
    Bias and variance: unbiased; the variance grows with the number of units. One pass a draw.
    Source: Williams 1992, eq. 4 and section 4 (reinforcement baseline).

    Args:
        decay: share of the old average kept each step, in [0, 1).
        draws, repeat_at: as in `ScoreFunction`.

    Raises:
        ValueError: decay outside [0, 1).
    """

    baseline: Tensor
    steps: Tensor

    def __init__(self, decay: float = 0.9, draws: int | Sequence[int] = 1, repeat_at: str = "site") -> None:
        super().__init__(draws, repeat_at)
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} is outside [0, 1)")
        self.decay = decay
        self.register_buffer("baseline", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def advantage(self, step: Recording, drawn: Scored, rewards: Tensor) -> Tensor:
        return rewards - torch.where(self.steps > 0, self.baseline.to(rewards.dtype), mean_of_others(step, rewards))

    def loss(self, step: Recording, losses: Tensor, rewards: Tensor) -> Tensor:
        total = super().loss(step, losses, rewards)
        with torch.no_grad():
            mean = rewards.detach().mean().to(self.baseline.dtype)
            moved = self.decay * self.baseline + (1 - self.decay) * mean
            self.baseline.copy_(torch.where(self.steps > 0, moved, mean))
            self.steps += 1
        return total


class LeaveOneOut(ScoreFunction):
    """`rloo`: K draws of each example; each is compared with the mean loss of the others.

    Forward: b_1 ... b_K ~ Bernoulli(p), independent.
    Backward: 1/K sum_k (f_k - mean_{j != k} f_j) * (b_k - p).
    With several sites the draws form a tree (Args of `ScoreFunction`): the reward of a draw is the mean loss of all
    that was drawn after it, its baseline the mean reward of the other draws at this site, or at the last earlier site
    that opened lanes. Given what was drawn before, these do not depend on it: the estimate is unbiased at every site.
    Bias and variance: unbiased; the variance falls with K. K passes after the first site, one before it.
    Source: Kool et al. 2019 (Buy 4 REINFORCE samples, get a baseline for free), eq. 8.

    Raises:
        ValueError: no count of draws reaches 2, so that there is nothing to leave out.
    """

    def __init__(self, draws: int | Sequence[int] = 4, repeat_at: str = "site") -> None:
        super().__init__(draws, repeat_at)
        if max(self.draws) < 2:
            raise ValueError(f"draws={draws} leaves nothing to compare with; {type(self).__name__} needs at least 2")

    def advantage(self, step: Recording, drawn: Scored, rewards: Tensor) -> Tensor:
        if rewards.ndim < 2:
            raise StepError(f"draws={self.draws} gives the first site reached a single draw: nothing to leave out")
        return less_others(rewards)


def less_others(values: Tensor) -> Tensor:
    """Each of K (first dimension) less the mean of the others; shape kept."""
    count = values.shape[0]
    return (values - values.mean(dim=0)) * (count / (count - 1))


def draw(logits: Tensor, count: int) -> Tensor:
    """Independent bits, 0.0 or 1.0: logits (N, ...) -> (K, N, ...), in the memory layout of the logits."""
    p = torch.sigmoid(logits)
    return (rand_draws(logits, count) < p).to(p.dtype)


def rand_draws(like: Tensor, count: int) -> Tensor:
    """Uniform numbers on [0, 1): (N, ...) -> (K, N, ...), in the memory layout and dtype of `like`."""
    if not _is_channels_last(like):
        return like.new_empty((count, *like.shape)).uniform_()
    rows, channels, height, width = like.shape
    return like.new_empty((count, rows, height, width, channels)).permute(0, 1, 4, 2, 3).uniform_()


def log_prob(bits: Tensor, logits: Tensor) -> Tensor:
    """sum_i b_i phi_i - log(1 + exp(phi_i)): bits (K, N, ...), logits (N, ...) -> (K, N), float32 or wider."""
    with torch.autocast(logits.device.type, enabled=False):
        return weighed(bits, logits) - F.softplus(at_least_float32(logits)).flatten(1).sum(dim=1)


def weighed(weights: Tensor, logits: Tensor) -> Tensor:
    """sum_i w_i phi_i: weights (K, N, ...), logits (N, ...) -> (K, N), float32 or wider; its gradient is w."""
    if _is_channels_last(logits):  # a sum takes any order: take that of memory, which needs no copy
        logits, weights = logits.permute(0, 2, 3, 1), weights.permute(0, 1, 3, 4, 2)
    with torch.autocast(logits.device.type, enabled=False):  # a sum over thousands of units does not fit bfloat16
        phi = at_least_float32(logits.flatten(1))
        return torch.einsum("knu,nu->kn", weights.flatten(2).to(phi.dtype), phi)


def in_memory_format_of(like: Tensor, lanes: Tensor) -> Tensor:
    """lanes (K, N, ...) in the memory layout of `like` (N, ...), so that what comes behind stays as fast."""
    if not _is_channels_last(like):
        return lanes.contiguous()
    return lanes.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


def _is_channels_last(x: Tensor) -> bool:
    return x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
