"""Activations of the non-binary nets, as modules that a binary unit can replace."""

from __future__ import annotations

from torch import Tensor, nn


class HardSigmoid(nn.Hardtanh):
    """Hard tanh moved to [0, 1], (clamp(x, -1, 1) + 1) / 2: the non-binary activation of the MNIST studies.

    torch's own Hardsigmoid has slope 1/6 and saturates at |x| = 3; this one has slope 1/2 and saturates at |x| = 1.
    Values are those of the surrogate `hard_sigmoid`. So is the gradient, except at |x| = 1 itself: torch's kernel for
    this, several times as fast, has 0 there.
    """

    def forward(self, input: Tensor) -> Tensor:
        return (super().forward(input) + 1) / 2


ACTIVATIONS: dict[str, type[nn.Module]] = {"hard_sigmoid": HardSigmoid, "hard_tanh": nn.Hardtanh, "relu": nn.ReLU}
