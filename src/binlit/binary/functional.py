"""Binary operations as plain functions on tensors, under the names that many ports of BinaryNet to Keras use.

    from binlit.binary.functional import binary_tanh

Each draws nothing, sends bits forward and the derivative of its clipped line backward. They differ from the ports in
one point: 1/2 is rounded up, so that binary_tanh(0) is +1 as sign(0) is everywhere in binlit (Keras rounds to even).
"""

from __future__ import annotations

import torch
from torch import Tensor

from binlit.estimator import straight_through
from binlit.estimator.surrogate import hard_sigmoid


def round_through(x: Tensor) -> Tensor:
    """x rounded to the nearest whole number, halves up; gradient 1."""
    floor = x.detach().floor()
    # x + 1/2 would round first: 0.49999997 would come out as 1
    return straight_through(floor + (x.detach() - floor >= 0.5).to(x.dtype), x)


def binary_sigmoid(x: Tensor) -> Tensor:
    """1[x >= 0]; gradient 1/2 for |x| <= 1, 0 outside."""
    # not by rounding the hard sigmoid: its x + 1 swallows what is small, and bfloat16 takes -0.003 for positive
    bits = torch.where(x.isnan(), x, (x >= 0).to(x.dtype)).detach()
    return straight_through(bits, hard_sigmoid(x))


def binary_tanh(x: Tensor) -> Tensor:
    """sign(x), sign(0) = +1; gradient 1 for |x| <= 1, 0 outside."""
    return 2 * binary_sigmoid(x) - 1


def binarize(weight: Tensor, H: float = 1.0) -> Tensor:  # noqa: N803 (the ports' name)
    """H sign(weight), in {-H, +H}; gradient 1 for |weight| <= H, 0 outside. H > 0.

    Raises:
        ValueError: H is not above 0.
    """
    if not H > 0:
        raise ValueError(f"H={H} must be above 0: it is the magnitude of the binary weights")
    return H * binary_tanh(weight / H)


def xnorize(
    weight: Tensor,
    H: float = 1.0,  # noqa: N803
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
) -> tuple[Tensor, Tensor]:
    """(mean |weight| over `axis`, H sign(weight)): XNOR-Net's magnitude and bits (1603.05279).

    Args:
        axis: dimensions that share a magnitude; all of them for None.
        keepdims: leave the averaged dimensions in, with size 1.
    """
    dims = tuple(range(weight.dim())) if axis is None else axis
    return weight.abs().mean(dim=dims, keepdim=keepdims), binarize(weight, H)
