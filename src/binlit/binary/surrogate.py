"""Surrogates: the smooth or piecewise-linear firing probability p(z) of a binary unit.

Each maps z = slope * (x - threshold) to p in [0, 1], grows with z, and has p(0) = 1/2. A surrogate is also the
activation of the non-binary net that a binary row is compared with.
"""

from __future__ import annotations

import torch
from torch import Tensor

from binlit.estimator.straight_through import clip


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

    Source: Hubara et al. 2016 (1602.02830) eq. 3; Chung et al. 2017 (1609.01704) eq. 8.
    """

    def probability(self, z: Tensor) -> Tensor:
        return (clip(z) + 1) / 2

    def is_flat(self, z: Tensor) -> Tensor:
        return z.abs() > 1


class HardTanh(HardSigmoid):
    """2p - 1 = clamp(z, -1, 1): the hard sigmoid under the name that it has with +-1 levels.

    As a probability it is the hard sigmoid, and the two train alike at equal levels; sent out as -1 and +1 its mean
    is hard tanh, with gradient 1 for |z| <= 1.

    Source: Hubara et al. 2016 (1602.02830) section 1.3.
    """


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


SURROGATES: dict[str, type[Surrogate]] = {"hard_sigmoid": HardSigmoid, "hard_tanh": HardTanh, "logistic": Logistic}
