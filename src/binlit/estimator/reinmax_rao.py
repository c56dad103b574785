"""ReinMax with less variance, by Gumbel-Rao: in place of its step at the midpoint, or as a control variate.

ReinMax for a bit is 2 m (1 - m) - p (1 - p) / 2 at the midpoint m = (p + b) / 2 of p and what was drawn. Seen as the
derivative of a relaxation at the logit of m, the first term has a version with noise and one averaged over noise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from binlit.estimator.relaxed import FLAT, GumbelRao


class ReinMaxRao(GumbelRao):
    """`reinmax_rao`: `reinmax`, its step at the midpoint taken of the relaxation, averaged over noise.

    Backward: g(b) * (2 J - p (1 - p) / 2), J the factor of `gumbel_rao` given b at the logit of (p + b) / 2 in place of
    phi.
    Bias and variance: biased, also in scale (`reinmax` is exact for a quadratic loss, this is not); the factor differs
    less between b = 0 and 1, and so varies less. One pass.
    Source: Wang and Bui 2026 (2603.08257), ReinMax-Rao, for two classes.

    Args:
        temperature: of the relaxation, > 0.
        draws: of noise, as in `GumbelRao`.
    """

    def __init__(self, temperature: float = 1.0, draws: int | None = None) -> None:
        super().__init__(temperature, draws)

    def factor(self, phi: Tensor, bit: Tensor) -> Tensor:
        p = torch.sigmoid(phi)
        return 2 * super().factor(midpoint(phi, bit), bit) - p * (1 - p) / 2


class ReinMaxControlVariate(GumbelRao):
    """`reinmax_cv`: `reinmax`, corrected by what the noise that drew b did to the relaxation at its midpoint.

    Backward: g(b) * (|b - p| / 2 + eta (J - y (1 - y) / temperature)), J as in `reinmax_rao`, y the relaxation with the
    noise that drew b; both at the logit of (p + b) / 2.
    Bias and variance: biased; y is relaxed with noise drawn at phi, J with noise drawn at the midpoint, so that their
    means differ by a little and the correction adds bias to that of `reinmax`. For bits `reinmax` has no noise beside
    b that could be taken out again, and the variance is above that of `reinmax`: here to be compared with. One pass.
    Source: Wang and Bui 2026 (2603.08257), ReinMax-CV, for two classes.

    Args:
        temperature: of the relaxation, > 0.
        eta: of the correction; 0 is `reinmax`.
        draws: of noise, as in `GumbelRao`.
    """

    def __init__(self, temperature: float = 1.0, eta: float = 0.5, draws: int | None = None) -> None:
        super().__init__(temperature, draws)
        self.eta = eta

    def soft(self, logits: Tensor, noise: Tensor, bit: Tensor) -> Tensor:
        phi = logits.detach()
        between = midpoint(phi, bit)
        y = torch.sigmoid((between + noise) / self.temperature)
        correction = self.factor(between, bit) - y * (1 - y) / self.temperature
        return ((bit - torch.sigmoid(phi)).abs() / 2 + self.eta * correction) * logits.clamp(-FLAT, FLAT)


def midpoint(phi: Tensor, bit: Tensor) -> Tensor:
    """The logit of (p + b) / 2, shape of phi; infinite where p = b."""
    sign = 2 * bit - 1
    return sign * (torch.log1p(torch.sigmoid(sign * phi)) - F.logsigmoid(-sign * phi))
