"""Bias, magnitude, BatchNorm and threshold of a layer, folded into one integer for each output channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from binlit.binary import BinaryActivation

Real = Callable[[Tensor], Tensor]


def thresholds(
    real: Real, after: Sequence[nn.Module], unit: BinaryActivation, bound: int, shape: tuple[int, int], conv: bool
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """The integers at which the bits change, found by bisection over what the net's own modules compute.

    Each of the modules grows or falls with the sum, in float64 too (rounding keeps order), so there is one change.

    Args:
        real: integer sums (P, O), float64 -> what the layer gives for them, float64.
        after: the modules between layer and unit, in float64 and in evaluation mode.
        unit: makes the bits.
        bound: largest |sum|.
        shape: (P, O): rows that differ in `real` alone (patterns of padding), output channels.
        conv: whether the modules come after a convolution.

    Returns:
        threshold: (P, O), int32. flip: (O,). The bit is sum >= threshold, or sum <= threshold where flip is 1.
    """

    @torch.no_grad()
    def on(sums: Tensor) -> Tensor:
        x = real(sums)
        x = x[:, :, None, None] if conv else x
        for module in after:
            x = module(x)
        return unit(x).reshape(shape) > 0

    low = torch.full(shape, -bound, dtype=torch.float64)
    high = torch.full(shape, bound, dtype=torch.float64)
    at_low, at_high = on(low), on(high)
    flip = (at_low & ~at_high).any(0)  # of a channel: its patterns grow or fall together
    # smallest sum whose bit is on (off where flip), in [-bound, bound + 1]
    found_low, found_high = low - 1, high + 1  # changed nowhere below, everywhere above
    while bool((found_high - found_low > 1).any()):
        middle = ((found_low + found_high) / 2).floor().clamp(-bound, bound)
        changed = on(middle) ^ flip
        open_ = found_high - found_low > 1
        found_high = torch.where(open_ & changed, middle, found_high)
        found_low = torch.where(open_ & ~changed, middle, found_low)
    least = found_high.to(torch.int64) - flip.to(torch.int64)  # s <= T: the last before the change
    return least.numpy().astype(np.int32), flip.numpy().astype(np.uint8)


def scale_and_shift(scale: Tensor, shift: Tensor, after: Sequence[nn.Module]) -> tuple[Tensor, Tensor]:
    """scale * s + shift, (O,) each, with the BatchNorms after it folded in, float64."""
    for module in after:
        norm: Any = module
        gain = (norm.running_var + norm.eps).rsqrt()
        if norm.affine:
            gain = gain * norm.weight
        scale, shift = scale * gain, (shift - norm.running_mean) * gain
        if norm.affine:
            shift = shift + norm.bias
    return scale, shift
