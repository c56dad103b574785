"""Score functions with parameters of their own: a baseline that is learned from the site's input.

The parameters join the net's optimiser as a group with its own learning rate, and are saved with the net. They are made
by `prepare`, once the shapes of the sites are known: `binlit.binarize(net, ..., example=x)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from binlit.estimator.base import Call, above_zero, add_gradient, at_least_one
from binlit.estimator.recording import Layout, Recording, StepError
from binlit.estimator.score_function import Scored, ScoreFunction, mean_of_others

POOLED = 4  # feature maps are averaged down to this size before a baseline looks at them


class Head(nn.Module):
    """A small net from the units of one site to a number for each example; its output starts at 0.

    Args:
        shape: of one example's units; feature maps (C, H, W) are averaged to at most 4 x 4 first.
        hidden: width of its one hidden layer.

    Shape: (N, *shape) -> (N,).
    """

    def __init__(self, shape: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.shape = shape
        maps = len(shape) == 3
        size = [min(POOLED, side) for side in shape[1:]] if maps else []
        inputs = shape[0] * size[0] * size[1] if maps else int(torch.Size(shape).numel())
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d((size[0], size[1])) if maps else nn.Identity(),
            nn.Flatten(),
            nn.Linear(inputs, hidden),
            nn.Tanh(),
            nn.Linear(hidden, 1),
        )
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, units: Tensor) -> Tensor:
        return self.layers(units).squeeze(1)


class Heads(nn.Module):
    """A `Head` for each site, by the site's name."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = at_least_one("hidden", hidden)
        self.by_site = nn.ModuleDict()

    def prepare(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """A head for each site; one that is there and fits stays, with what it has learned."""
        with torch.random.fork_rng():  # the net's own chance is not touched
            torch.manual_seed(0)
            for site, shape in shapes.items():
                head = dict(self.by_site.items()).get(_key(site))
                if isinstance(head, Head) and head.shape == shape:
                    continue
                self.by_site[_key(site)] = Head(shape, self.hidden)

    def of(self, site: str) -> Head:
        head = dict(self.by_site.items()).get(_key(site))
        if not isinstance(head, Head):
            raise StepError(
                f"site '{site}' has no baseline yet, because its size depends on the net: call "
                "binlit.binarize(net, ..., example=x), with x a batch such as the net is trained on"
            )
        return head


def _key(site: str) -> str:
    return site.replace(".", "/")  # a ModuleDict takes no dots


class Nvil(ScoreFunction):
    """`nvil`: the score function with a baseline learned from the site's input, and a normalised signal.

    Forward: b ~ Bernoulli(p).
    Backward: (f - c - C(x)) / max(1, s) * (b - p), c and s^2 moving mean and variance of f - C(x) over past steps, C a
    small net of the site's pre-activation x, trained to predict f - c.
    Bias and variance: unbiased up to the factor 1 / max(1, s); variance below `reinforce` as far as x tells the loss.
    One pass a draw.
    Source: Mnih and Gregor 2014 (1402.0030), algorithm 1.

    Args:
        hidden: width of the baseline's hidden layer.
        decay: of the moving mean and variance, in [0, 1).
        normalise: whether the signal is divided by max(1, s).
        learning_rate: of the baselines; None for the net's.
        draws, repeat_at: as in `ScoreFunction`.

    Raises:
        ValueError: hidden < 1 or decay outside [0, 1).
        StepError: the baselines were not made (see the module).
    """

    learns = True
    mean: Tensor
    variance: Tensor
    steps: Tensor

    def __init__(
        self,
        hidden: int = 64,
        decay: float = 0.9,
        normalise: bool = True,
        learning_rate: float | None = 0.01,
        draws: int | Sequence[int] = 1,
        repeat_at: str = "site",
    ) -> None:
        super().__init__(draws, repeat_at)
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} is outside [0, 1)")
        self.decay, self.normalise = decay, normalise
        self.learning_rate = None if learning_rate is None else above_zero("learning_rate", learning_rate)
        self.baselines = Heads(hidden)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def prepare(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.baselines.prepare(shapes)

    def predicted(self, call: Call, layout: Layout) -> Tensor:
        head = self.baselines.of(call.site)
        return layout.split(head(call.z.detach().to(next(head.parameters()).dtype)))

    def advantage(self, step: Recording, drawn: Scored, rewards: Tensor) -> Tensor:
        assert drawn.predicted is not None
        signal = rewards - self.centre(step, rewards) - drawn.predicted.detach()
        return signal / self.variance.to(signal.dtype).sqrt().clamp_min(1) if self.normalise else signal

    def centre(self, step: Recording, rewards: Tensor) -> Tensor:
        """c: the moving mean; in the very first step the mean of the other examples."""
        return torch.where(self.steps > 0, self.mean.to(rewards.dtype), mean_of_others(step, rewards))

    def loss(self, step: Recording, losses: Tensor, rewards: Tensor) -> Tensor:
        total, rewards = super().loss(step, losses, rewards), rewards.detach()
        spread, centre, at_site = [], rewards.mean(), rewards
        for drawn in reversed(step.draws):
            missed = at_site - self.centre(step, at_site) - drawn.predicted
            # divided by the variance, so that the size of a step does not depend on the scale of the loss
            total = add_gradient(total, missed.square().mean() / (2 * self.variance.to(missed.dtype)))
            spread.append(missed.detach().square().mean())
            at_site = at_site.mean(0) if drawn.branched else at_site
        with torch.no_grad():
            pace = torch.where(self.steps > 0, 1 - self.decay, 1.0)
            seen = torch.stack(spread).mean().to(self.variance.dtype).clamp_min(1e-12)
            self.mean.copy_(self.mean + pace * (centre.to(self.mean.dtype) - self.mean))
            self.variance.copy_(self.variance + pace * (seen - self.variance))
            self.steps += 1
        return total
