"""Rules for sign(x) whose backward function is shaped by hand: a window that narrows, peaks, or moves with the epoch.

All are written for the derivative of sign, as their papers are, and send the same gradient whatever the levels. The bit
may be drawn as well as thresholded; the backward function does not ask.
"""

from __future__ import annotations

import torch
from torch import Tensor

from binlit.estimator.base import Call, above_zero, at_least_one
from binlit.estimator.straight_through import StraightThrough


class ApproxSign(StraightThrough):
    """`approx_sign`: forward b, backward the derivative of a piecewise quadratic sign.

    Backward: g * slope * max(0, 2 - 2 |z|), z = slope * x: the derivative of 2z + z^2 below 0 and 2z - z^2 above it,
    within |z| < 1.
    Bias and variance: biased, closer to the derivative of sign than the window of `st_clipped`; low variance. One pass.
    Source: Liu et al. 2018 (Bi-Real Net, 1808.00278), the derivative of ApproxSign.
    """

    def soft(self, call: Call) -> Tensor:
        z = call.z.clamp(-1, 1)  # at the bounds 2 - 2|z| is 0 from either side
        return 2 * z - z * z.abs()


class SwishSign(StraightThrough):
    """`swish_sign`: forward b, backward the derivative of SS(z) = 2 s (1 + beta z (1 - s)) - 1, s = sigmoid(beta z).

    Backward: g * slope * beta (2 - beta z tanh(beta z / 2)) / (1 + cosh(beta z)); below 0 where |beta z| > 2.4.
    Bias and variance: biased; low variance. One pass.
    Source: Darabi et al. 2018 (BNN+, 1812.11800), the derivative of SignSwish.

    Args:
        beta: steepness, > 0; the paper trains with 5 and 10.
    """

    def __init__(self, beta: float = 5.0) -> None:
        super().__init__()
        self.beta = above_zero("beta", beta)

    def soft(self, call: Call) -> Tensor:
        z = self.beta * call.z.clamp(-50 / self.beta, 50 / self.beta)  # flat beyond; infinite times 0 is no number
        s = torch.sigmoid(z)
        return 2 * s * (1 + z * (1 - s)) - 1


class Scheduled(StraightThrough):
    """A backward function that moves with the epoch.

    Args:
        epochs: over how many epochs the function moves from its first shape to its last, >= 1; it stays there after.

    Attributes:
        progress: 0 in epoch 1, 1 from epoch `epochs` on; set anew at each epoch's start, so not part of the state.
    """

    def __init__(self, epochs: int = 10) -> None:
        super().__init__()
        self.epochs = at_least_one("epochs", epochs)
        self.progress = 0.0

    def begin_epoch(self, epoch: int) -> None:
        self.progress = min(1.0, (epoch - 1) / max(1, self.epochs - 1))


class ErrorDecay(Scheduled):
    """`ede`: forward b, backward the derivative of k tanh(t z), from nearly the identity to nearly sign.

    Backward: g * slope * k t (1 - tanh^2(t z)), t from `start` to `end` on a logarithmic scale over `epochs`,
    k = max(1/t, 1).
    Bias and variance: biased; wide and flat at first, so that every unit learns, steep at last. One pass.
    Source: Qin et al. 2020 (IR-Net, 1909.10788), the error decay estimator.

    Args:
        start, end: first and last t, > 0.
        epochs: as in `Scheduled`.
    """

    def __init__(self, start: float = 1e-3, end: float = 10.0, epochs: int = 10) -> None:
        super().__init__(epochs)
        self.start, self.end = above_zero("start", start), above_zero("end", end)

    def soft(self, call: Call) -> Tensor:
        t = self.start * (self.end / self.start) ** self.progress
        return max(1 / t, 1.0) * torch.tanh(t * call.z)


class RectifiedStraightThrough(Scheduled):
    """`reste`: forward b, backward the derivative of sign(z) |z|^(1/o), from the identity (o = 1) towards sign.

    Backward: g * slope * (1/o) |z|^((1-o)/o) for margin <= |z| <= window; below the margin, where it would be infinite,
    the mean slope margin^((1-o)/o) of the function there; 0 beyond the window. o runs from 1 to `power`, linearly over
    `epochs`.
    Bias and variance: biased; o trades the error of the approximation for the spread of the gradient. One pass.
    Source: Wu et al. 2023 (ReSTE, 2308.06689), with its truncation and its bound near 0.

    Args:
        power: last o, >= 1.
        window: half-width beyond which nothing is sent back, in units of z.
        margin: half-width within which the slope is bounded, in units of z, > 0.
        epochs: as in `Scheduled`.
    """

    def __init__(self, power: float = 3.0, window: float = 1.5, margin: float = 0.1, epochs: int = 10) -> None:
        super().__init__(epochs)
        if power < 1:
            raise ValueError(f"power={power} must be at least 1 (1 is the identity)")
        self.power, self.window, self.margin = power, above_zero("window", window), above_zero("margin", margin)
        if not margin < window:
            raise ValueError(f"margin={margin} must lie inside window={window}")

    def soft(self, call: Call) -> Tensor:
        z, size = call.z, call.z.abs()
        o = 1 + (self.power - 1) * self.progress
        near = size < self.margin
        # where the power is not wanted it is taken of a constant: no gradient, and none that is infinite
        curve = z.sign() * torch.where(near | (size > self.window), self.window, size) ** (1 / o)
        return torch.where(near, z * self.margin ** ((1 - o) / o), curve)
