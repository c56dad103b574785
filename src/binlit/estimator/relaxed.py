"""Rules around the Gumbel-softmax, which for one bit is a logistic distribution.

With phi = logit(p) and logistic noise l = log u - log(1 - u), the bit b = 1[phi + l > 0] is on with probability p, and
y = sigmoid((phi + l) / temperature) is its relaxation: differentiable in phi, binary as the temperature falls to 0.
All need chance and the logistic surrogate. For +-1 levels the gradients are twice those given, as b is.
"""

from __future__ import annotations

import torch
from numpy.polynomial import legendre
from torch import Tensor

from binlit.estimator.base import Call, Estimator, above_zero, at_least_float32, at_least_one
from binlit.estimator.straight_through import straight_through

_nodes, _weights = legendre.leggauss(8)
NODES = list(zip(((_nodes + 1) / 2).tolist(), _weights.tolist(), strict=True))
FLAT = 1e4  # logits beyond which nothing goes back: nothing would, but infinite times 0 is no number


class Relaxation(Estimator):
    """Base: draws the bit through logistic noise and sends the gradient of a soft stand-in back.

    Args:
        temperature: of the stand-in, > 0.

    Attributes:
        draw_temperature: the bit is on with probability sigmoid(phi / draw_temperature).
    """

    needs_logit = needs_chance = True
    draw_temperature: float = 1.0

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = above_zero("temperature", temperature)

    def soft(self, logits: Tensor, noise: Tensor, bit: Tensor) -> Tensor:
        """The differentiable stand-in for the bit, in [0, 1] up to a constant; shape of logits.

        Args:
            logits: phi, with a graph.
            noise: the logistic noise that drew the bit; 0 where the bit is thresholded.
            bit: 0.0 or 1.0.
        """
        raise NotImplementedError

    def forward(self, call: Call) -> Tensor:
        bit, soft = self.drawn(call)
        return straight_through(call.emit(bit), call.emit(soft))

    evaluate = forward  # a user who trains with net.eval() (frozen statistics) still gets gradients

    def drawn(self, call: Call) -> tuple[Tensor, Tensor]:
        """(bit, stand-in), in the dtype of z."""
        logits = call.logits()
        phi = logits.detach()
        noise = logistic(phi) if call.stochastic else torch.zeros_like(phi)
        bit = torch.where(phi.isnan(), phi, (phi / self.draw_temperature + noise >= 0).to(phi.dtype))
        return bit.to(call.z.dtype), self.soft(logits, noise, bit).to(call.z.dtype)


class StraightThroughGumbel(Relaxation):
    """`st_gumbel`: forward b, backward the derivative of the relaxation drawn with the same noise.

    Backward: g(b) * y (1 - y) / temperature.
    Bias and variance: biased; low temperature, high variance. One pass.
    Source: Jang et al. 2017 (1611.01144), the straight-through Gumbel-softmax estimator.
    """

    def soft(self, logits: Tensor, noise: Tensor, bit: Tensor) -> Tensor:
        return torch.sigmoid((logits + noise) / self.temperature)


class Concrete(StraightThroughGumbel):
    """`concrete`: no bit in training at all, but its relaxation y.

    Forward: y = sigmoid((phi + l) / temperature), l logistic noise; in evaluation mode the bit.
    Backward: the derivative of f at y, g(y) * y (1 - y) / temperature.
    Bias and variance: unbiased for E[f(y)], biased for E[f(b)]; as the temperature falls, the bias falls and the
    variance grows. The net above is trained on values that it does not meet in the test. One pass.
    Source: Maddison et al. 2017 (1611.00712), the binary Concrete; Jang et al. 2017 (1611.01144).
    """

    def forward(self, call: Call) -> Tensor:
        return call.emit(self.drawn(call)[1])

    def evaluate(self, call: Call) -> Tensor:
        return super().forward(call)


class GumbelRao(Relaxation):
    """`gumbel_rao`: `st_gumbel`, its backward factor averaged over noise that would have drawn the same bit.

    Backward: g(b) * mean_k y_k (1 - y_k) / temperature, y_k relaxed with noise drawn given b; without a number of draws
    the mean over all such noise.
    Bias and variance: the bias of `st_gumbel`, and a variance that falls with K, towards that of the conditional mean.
    One pass; K draws of noise, or none.
    Source: Paulus et al. 2021 (2010.04838), the Monte Carlo form with K draws.

    Args:
        temperature: > 0.
        draws: K >= 1; None for the conditional mean, for temperatures up to 1; it costs as much as one draw.

    Raises:
        ValueError: the temperature is above 1, and draws is None.
    """

    def __init__(self, temperature: float = 0.5, draws: int | None = 8) -> None:
        super().__init__(temperature)
        self.draws = None if draws is None else at_least_one("draws", draws)
        if draws is None and temperature > 1:
            raise ValueError(
                f"temperature={temperature} is above 1, where the mean is not known: give draws, such as 8"
            )

    def soft(self, logits: Tensor, noise: Tensor, bit: Tensor) -> Tensor:
        return self.factor(logits.detach(), bit) * logits.clamp(-FLAT, FLAT)

    def factor(self, phi: Tensor, bit: Tensor) -> Tensor:
        """The mean of y (1 - y) / temperature given the bit; shape of phi."""
        if self.draws is None:
            return mean_slope((2 * bit - 1) * phi, self.temperature)
        p, total = torch.sigmoid(phi), torch.zeros_like(phi)
        for _ in range(self.draws):
            y = torch.sigmoid((phi + conditional_noise(p, bit)) / self.temperature)
            total += y * (1 - y)
        return total / (self.temperature * self.draws)


class GappedStraightThrough(Relaxation):
    """`gapped_st`: forward b, backward a softmax whose logit is shifted so that b leads by a gap.

    Backward: g(b) * y (1 - y) / temperature at y = sigmoid(max((2b - 1) phi, gap) / temperature): a logit that agrees
    with the bit by more than the gap stays as it is, any other is moved to the gap.
    Bias and variance: biased; less variance than `st_gumbel`, because nothing but b is random. One pass.
    Source: Fan et al. 2022 (2206.07235), for two classes.

    Args:
        temperature: > 0.
        gap: least lead of the drawn value, in units of the logit, > 0.
    """

    def __init__(self, temperature: float = 1.0, gap: float = 1.0) -> None:
        super().__init__(temperature)
        self.gap = above_zero("gap", gap)

    def soft(self, logits: Tensor, noise: Tensor, bit: Tensor) -> Tensor:
        sign = 2 * bit - 1
        shift = sign * (self.gap - sign * logits.detach()).clamp_min(0)
        return torch.sigmoid((logits + shift) / self.temperature)


class DecoupledStraightThrough(Relaxation):
    """`decoupled_st`: the bit is drawn at one temperature, the gradient taken at another.

    Forward: b ~ Bernoulli(sigmoid(phi / temperature)); the same in evaluation mode.
    Backward: g(b) * q (1 - q) / backward_temperature, q = sigmoid(phi / backward_temperature).
    Bias and variance: biased; the forward temperature sets how much is explored, the backward one how far from phi = 0
    a unit still learns. Both 1: `st_sigmoid`. One pass.
    Source: Shah et al. 2024 (2410.13331), for two classes.

    Args:
        temperature: of the draw, > 0.
        backward_temperature: of the gradient, > 0.
    """

    def __init__(self, temperature: float = 0.5, backward_temperature: float = 1.0) -> None:
        super().__init__(temperature)
        self.draw_temperature = temperature
        self.backward_temperature = above_zero("backward_temperature", backward_temperature)

    def firing_probability(self, call: Call) -> Tensor:
        return torch.sigmoid(call.logits() / self.temperature)

    def soft(self, logits: Tensor, noise: Tensor, bit: Tensor) -> Tensor:
        return torch.sigmoid(logits / self.backward_temperature)


class ReinMax(Relaxation):
    """`reinmax`: forward b, backward a second-order step (Heun's) from what b is to what it might have been.

    Backward: g(b) * |b - p| / 2, whose mean is p (1 - p) (g(0) + g(1)) / 2: the trapezoidal rule for f(1) - f(0).
    Bias and variance: exact in expectation for a loss quadratic in the unit, so the bias is of third order; more
    variance than `st_sigmoid`. One pass.
    Source: Liu et al. 2023 (2304.08612) at temperature 1, for two classes.
    """

    def __init__(self) -> None:
        super().__init__(1.0)

    def soft(self, logits: Tensor, noise: Tensor, bit: Tensor) -> Tensor:
        return (bit - torch.sigmoid(logits.detach())).abs() / 2 * logits


def logistic(like: Tensor) -> Tensor:
    """log u - log(1 - u), u uniform on (0, 1); shape, device and dtype (float32 or wider) of `like`."""
    return torch.logit(torch.rand_like(like), eps=torch.finfo(like.dtype).eps)


def conditional_noise(p: Tensor, bit: Tensor) -> Tensor:
    """Logistic noise given the bit that it drew, bit = 1[logit(p) + noise >= 0]; shape of p.

    With u uniform on (0, 1) the bit is on where u > 1 - p: given the bit, u is uniform on its side of 1 - p.
    """
    u = torch.rand_like(at_least_float32(p))
    side = torch.where(bit > 0, 1 - p * u, (1 - p) * u)
    return torch.logit(side, eps=torch.finfo(side.dtype).eps)


def mean_slope(phi: Tensor, temperature: float) -> Tensor:
    """Mean of y (1 - y) / temperature, y = sigmoid((phi + noise) / temperature), over noise that draws a 1.

    Shape of phi. For a bit that is off it is that of -phi. With P = sigmoid(phi) and t = exp(-(phi + noise)), which is
    then below 1,

        mean = (1 - P) / temperature * int_0^1 t^(1/temperature) / (1 + t^(1/temperature))^2 / (1 - P (1 - t))^2 dt,

    here by Gauss and Legendre's rule in s, t = s^(2 temperature): for temperatures up to 1 within 0.1 % of the
    function's greatest value.
    """
    p, total = torch.sigmoid(phi), torch.zeros_like(phi)
    for s, weight in NODES:
        share = weight * s ** (2 * temperature + 1) / (1 + s * s) ** 2
        total += share / (1 - (1 - s ** (2 * temperature)) * p).square_()
    return total * torch.sigmoid(-phi)
