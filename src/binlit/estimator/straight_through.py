"""Straight-through rules: the forward pass sends the bit, the backward pass the derivative of a soft stand-in."""

from __future__ import annotations

import torch
from torch import Tensor

from binlit.estimator.base import Call, Estimator
from binlit.estimator.surrogate import clip


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Value of `hard`, gradient of `soft`.

    `soft - soft.detach()` is exactly 0, so that the value stays exactly binary; the common `soft + (hard - soft)`
    rounds to 0.9999998 and the like where soft is large. Only differentiable operations: vmap, torch.compile and
    double backward work.
    """
    return hard + (soft - soft.detach())


class StraightThrough(Estimator):
    """`st`: forward b, backward the derivative of the firing probability.

    Forward: b ~ Bernoulli(p) or 1[p >= 1/2], p = surrogate(slope * x).
    Backward: g * dp/dx; with the hard sigmoid g * (slope / 2) * 1[|slope * x| <= 1], twice that for +-1 levels.
    Bias and variance: biased (exact only where the loss is linear in each bit and p is the surrogate's own), low
    variance; bias falls and the dead zone grows with the slope. One pass.
    Source: Bengio et al. 2013 (1308.3432) section 4; Chung et al. 2017 (1609.01704) eqs. 8-10 with slope annealing.
    """

    def soft(self, call: Call) -> Tensor:
        """The differentiable stand-in whose derivative goes back, shape of x."""
        return call.emit(call.surrogate.probability(call.z))

    def forward(self, call: Call) -> Tensor:
        return straight_through(call.emit(call.bit()), self.soft(call))

    evaluate = forward  # a user who trains with net.eval() (frozen statistics) still gets gradients


class IdentityStraightThrough(StraightThrough):
    """`st_identity`: forward b, backward g, as if the unit were not there.

    Backward: g * 1, whatever the slope, surrogate and levels.
    Bias and variance: biased, also in scale (the gradient does not fall where the unit is saturated). One pass.
    Source: Bengio et al. 2013 (1308.3432) section 4, the first variant; Hinton's 2012 lectures.
    """

    def soft(self, call: Call) -> Tensor:
        return call.x


class ClippedStraightThrough(StraightThrough):
    """`st_clipped`: forward b, backward g inside the window |slope * x| <= 1 and 0 outside.

    Backward: g * slope * 1[|slope * x| <= 1], the derivative of hard tanh, whatever the surrogate and levels.
    Bias and variance: biased; cancels the gradient of saturated units. One pass.
    Source: Hubara et al. 2016 (1602.02830) eq. 4.
    """

    def soft(self, call: Call) -> Tensor:
        return clip(call.z)


class SigmoidStraightThrough(StraightThrough):
    """`st_sigmoid`: forward b, backward the derivative of the logistic sigmoid.

    Forward: b ~ Bernoulli(p) or 1[p >= 1/2].
    Backward: g * slope * s (1 - s), s = sigmoid(slope * x), whatever the surrogate; twice that for +-1 levels.
    Bias and variance: with the logistic surrogate exact in expectation for a loss linear in each unit, else biased; low
    variance. One pass.
    Source: Shekhovtsov 2021 (2110.03549); Bengio et al. 2013 (1308.3432) section 4, the second variant.
    """

    def soft(self, call: Call) -> Tensor:
        return call.emit(torch.sigmoid(call.z))


class Detached(Estimator):
    """`detached`: forward b, backward nothing.

    Backward: 0. The layers below the site get no gradient from this path and stay where they started.
    Character: what several published codes run under the name REINFORCE: the bit is drawn, and no log-probability
    ever meets the loss. Kept so that their tables can be made again. One pass.
    """

    forward = Estimator.evaluate
