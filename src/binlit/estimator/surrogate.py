"""Surrogates: the smooth or piecewise-linear firing probability p(z) of a binary unit.

Each maps z = slope * (x - threshold) to p in [0, 1], grows with z, and has p(0) = 1/2. A surrogate is also the
activation of the non-binary net that a binary row is compared with.
"""

from __future__ import annotations

import torch
from torch import Tensor


def clip(x: Tensor) -> Tensor:
    """clamp(x, -1, 1), with gradient 1 on the closed interval |x| <= 1.

    The papers' windows include their ends, and values do sit there: a latent weight clipped to +-1 would be stuck for
    good. torch's own clamp sends nothing back at its bounds from version 2.15 on (before, it did).
    """
    return torch.where(x.abs() <= 1, x, x.detach().clamp(-1, 1))


def hard_sigmoid(x: Tensor) -> Tensor:
    """clamp((x + 1) / 2, 0, 1), shape of x; gradient 1/2 for |x| <= 1, 0 outside."""
    return (clip(x) + 1) / 2


class Surrogate:
    """A firing probability.

    Attributes:
        is_open: True where 0 < p < 1 for every finite z, so that log p exists; a score function needs this.
    """

    is_open = False

    def probability(self, z: Tensor) -> Tensor:
        """p(z), in [0, 1], shape and dtype of z."""
        raise NotImplementedError

    def logits(self, z: Tensor) -> Tensor:
        """log(p / (1 - p)), shape and dtype of z.

        Raises:
            ValueError: p reaches 0 or 1, where the logit is infinite.
        """
        raise ValueError(
            f"{type(self).__name__} reaches p = 0 and p = 1, where log p is infinite: a score-function estimator "
            "needs surrogate 'logistic'"
        )

    def is_flat(self, z: Tensor) -> Tensor:
        """True where dp/dz is 0, or below 1 % of its greatest value; bool, shape of z."""
        raise NotImplementedError


class HardSigmoid(Surrogate):
    """p = clamp((z + 1) / 2, 0, 1); dp/dz = 1/2 for |z| <= 1, 0 outside.

    Also known as `hard_tanh`: sent out as -1 and +1 the bit has the mean 2p - 1 = clamp(z, -1, 1).

    Source: Hubara et al. 2016 (1602.02830) eq. 3; Chung et al. 2017 (1609.01704) eq. 8.
    """

    def probability(self, z: Tensor) -> Tensor:
        return hard_sigmoid(z)

    def is_flat(self, z: Tensor) -> Tensor:
        return z.abs() > 1


class Logistic(Surrogate):
    """p = 1 / (1 + exp(-z)); dp/dz = p (1 - p), which falls below 1 % of its maximum at |z| = 5.99.

    Source: Bengio et al. 2013 (1308.3432) eq. 3.
    """

    is_open = True

    def probability(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)

    def logits(self, z: Tensor) -> Tensor:
        return z

    def is_flat(self, z: Tensor) -> Tensor:
        p = torch.sigmoid(z)
        return p * (1 - p) < 0.01 / 4


SURROGATES: dict[str, type[Surrogate]] = {"hard_sigmoid": HardSigmoid, "hard_tanh": HardSigmoid, "logistic": Logistic}
