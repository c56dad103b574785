"""Backward functions of spiking nets: the derivative of a smooth step from 0 to 1, in place of that of the spike.

The bit may be drawn as well as thresholded; the backward function does not ask. For +-1 levels the gradients are twice
those given. Neftci et al. 2019 (1901.09948) survey the learning rules for spiking nets that use these.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from binlit.estimator.base import Call, above_zero
from binlit.estimator.straight_through import StraightThrough


class Spike(StraightThrough):
    """Base: the smooth step S(alpha * z), z = slope * x.

    Args:
        alpha: steepness, > 0.
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = above_zero("alpha", alpha)

    def soft(self, call: Call) -> Tensor:
        return call.emit(self.step(self.alpha * call.z))

    def step(self, a: Tensor) -> Tensor:
        """The smooth step at a = alpha * z, up to a constant; shape of a."""
        raise NotImplementedError


class ArcTangent(Spike):
    """`atan`: forward b, backward the derivative of an arc tangent.

    Backward: g * slope * (alpha / 2) / (1 + (pi alpha z / 2)^2), z = slope * x: the derivative of a step from 0 to 1;
    falls as 1 / z^2, so that no unit is ever cut off.
    Bias and variance: biased; low variance. One pass.
    Source: Fang et al. 2021 (2007.05785); the family in Neftci et al. 2019 (1901.09948).

    Args:
        alpha: steepness, > 0.
    """

    def __init__(self, alpha: float = 2.0) -> None:
        super().__init__(alpha)

    def step(self, a: Tensor) -> Tensor:
        return torch.atan(math.pi / 2 * a) / math.pi


class FastSigmoid(Spike):
    """`fast_sigmoid`: forward b, backward the derivative of z / (1 + alpha |z|).

    Backward: g * slope / (1 + alpha |z|)^2, z = slope * x: 1 at z = 0 whatever alpha, which sets the width alone.
    Bias and variance: biased, also in scale; low variance. One pass.
    Source: Zenke and Ganguli 2018 (SuperSpike, 1705.11146); Neftci et al. 2019 (1901.09948).

    Args:
        alpha: how fast it falls, > 0.
    """

    def __init__(self, alpha: float = 25.0) -> None:
        super().__init__(alpha)

    def step(self, a: Tensor) -> Tensor:
        a = a.clamp(-1e4, 1e4)  # flat beyond; infinite over infinite is no number
        return a / (1 + a.abs()) / self.alpha


class Triangle(Spike):
    """`triangle`: forward b, backward a triangle.

    Backward: g * slope * alpha max(0, 1 - alpha |z|), z = slope * x: the derivative of a step from 0 to 1, and 0 beyond
    |z| = 1 / alpha.
    Bias and variance: biased; cancels the gradient of saturated units, low variance. One pass.
    Source: Esser et al. 2016 (1603.08270), Bellec et al. 2018 (1803.09574); Neftci et al. 2019 (1901.09948).

    Args:
        alpha: height, and one over the half-width; > 0.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha)

    def step(self, a: Tensor) -> Tensor:
        a = a.clamp(-1, 1)  # at the bounds 1 - |a| is 0 from either side
        return a - a * a.abs() / 2


class Erf(Spike):
    """`erf`: forward b, backward a Gaussian bell.

    Backward: g * slope * (alpha / sqrt(pi)) exp(-(alpha z)^2), z = slope * x: the derivative of (1 + erf(alpha z)) / 2.
    Bias and variance: biased; next to nothing comes back beyond |z| = 2 / alpha; low variance. One pass.
    Source: Yin et al. 2021 (2103.12593), the Gaussian; Neftci et al. 2019 (1901.09948).

    Args:
        alpha: steepness, > 0; the bell's standard deviation is 1 / (sqrt(2) alpha).
    """

    def __init__(self, alpha: float = 2.0) -> None:
        super().__init__(alpha)

    def step(self, a: Tensor) -> Tensor:
        return torch.erf(a) / 2
