"""Leave-one-out with discrete Stein operators, whose functions are a small net that is trained as one goes: RODEO."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from binlit.estimator.base import above_zero, add_gradient, at_least_one
from binlit.estimator.double_cv import Draws, WithSlopes, others


class Rodeo(WithSlopes):
    """`rodeo`: leave-one-out between two control variates that flip the bits of a surrogate loss, not of f.

    Forward: b_1 ... b_K ~ Bernoulli(p), independent.
    Backward: 1/K sum_k [f_k - mean_{j != k} (f_j + alpha A h_j)] (b_k - p) + beta B g_k, with
    A h = sum_i w_i [h(b, bit i flipped) - h(b)], w_i the probability of the bit's other value, and, for unit i,
    B g = p_i (1 - p_i) [g(b_i = 1) - g(b_i = 0)] - g(b) (b_i - p_i). Both have mean 0. h_k and g_k are u plus an output
    of one small net of (u, m), which starts at 0: u(b) = s^T (b - p), s the mean of the other draws' gradients of f,
    and m what these draws say of f at p.
    Bias and variance: unbiased for any net. It starts as `double_cv` with its factor at -1, and alpha, beta and the net
    are moved down the gradient of the estimate's own variance (of its logarithm), every `tune_every`-th step. K passes
    above the first site as `rloo`, one more backward pass, and the net at each draw and at each flip of it.
    Source: Shi et al. 2022 (2202.09497), RODEO. There the outer operator, too, takes all flips; here each component of
    the gradient takes its own unit's, another operator of the family, which starts at `double_cv`.

    Args:
        hidden: width of the net's hidden layer, >= 1.
        tune_every: steps from one change of what is learned to the next, >= 1; 0: never.
        learning_rate: of what is learned; None for the net's.
        draws, repeat_at: as in `LeaveOneOut`.
    """

    steps: Tensor

    def __init__(
        self,
        hidden: int = 16,
        tune_every: int = 1,
        learning_rate: float | None = 0.01,
        draws: int | Sequence[int] = 4,
        repeat_at: str = "site",
    ) -> None:
        super().__init__(draws, repeat_at)
        if tune_every < 0:
            raise ValueError(f"tune_every={tune_every} must be at least 0 (0: the control variates stay as they are)")
        self.tune_every = tune_every
        self.learning_rate = None if learning_rate is None else above_zero("learning_rate", learning_rate)
        self.alpha, self.beta = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
        with torch.random.fork_rng():  # the net's own chance is not touched
            torch.manual_seed(0)
            self.hidden = nn.Linear(2, at_least_one("hidden", hidden))
        self.outputs = nn.Linear(hidden, 2)
        for parameter in self.outputs.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @property
    def tunes(self) -> bool:
        """Whether this step changes what is learned."""
        return self.training and bool(self.tune_every) and int(self.steps) % self.tune_every == 0

    def surrogate(self, u: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """(h, g), shape of u each."""
        seen = torch.stack([u, m.expand_as(u)], dim=-1).to(self.alpha.dtype)
        with torch.autocast(u.device.type, enabled=False):
            h, g = self.outputs(torch.tanh(self.hidden(seen))).to(u.dtype).unbind(-1)
        return u + h, u + g

    def estimate(self, draws: Draws) -> Tensor:
        b, p, s = draws.bits, draws.p, others(draws.slope)
        centred = b - p
        with torch.set_grad_enabled(self.tunes):
            u = (s * centred).sum(2, keepdim=True)
            m = others(draws.f - (draws.slope * centred).sum(2))[..., None]
            h, g = self.surrogate(u, m)  # (K, R, 1)
            h_flipped, g_flipped = self.surrogate(u + s * (1 - 2 * b), m)  # (K, R, U)
            inner = (torch.where(b > 0, 1 - p, p) * (h_flipped - h)).sum(2)
            outer = p * (1 - p) * (2 * b - 1) * (g - g_flipped) - g * centred
            signal = draws.f - others(draws.f + self.alpha * inner)
            return signal[..., None] * centred + self.beta * outer

    def learn(self, total: Tensor, estimates: Sequence[Tensor]) -> Tensor:
        if self.tunes:
            variance = torch.stack([estimate.square().sum(-1).mean() for estimate in estimates]).sum()
            learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
            for parameter, gradient in zip(learned, torch.autograd.grad(variance.log(), learned), strict=True):
                total = add_gradient(total, (gradient * parameter).sum())
        if self.training:
            self.steps += 1
        return total
