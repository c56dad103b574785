"""Characters, and the drawings that people (or a program) made of them: what Omniglot and the glyphs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from binlit.dataset.errors import DataError

ANGLES = (0, 90, 180, 270)
INKS = ("light", "dark")


@dataclass(frozen=True)
class Drawings:
    """Drawings of characters, ink dark (0) on light (255) as in Omniglot's files.

    Attributes:
        images: (characters, drawings, S, S) uint8; background characters first.
        background: how many of the characters are for training; those after them are for evaluation.
        validation: indices of the background characters that are held out where characters are (few-shot), (V,).
    """

    images: Tensor
    background: int
    validation: Tensor

    @property
    def characters(self) -> int:
        return self.images.shape[0]

    @property
    def each(self) -> int:
        """Drawings of each character."""
        return self.images.shape[1]


def rotated(images: Tensor, angles: Sequence[int]) -> Tensor:
    """Each rotation of a character as a character of its own: (C, D, S, S) -> (len(angles) * C, D, S, S).

    Character c at angles[i] (degrees, counter-clockwise) is at index i * C + c, so that c modulo C names its origin.
    """
    turned = [images.rot90(angle // 90, (2, 3)) for angle in angles]
    return torch.cat(turned) if len(turned) > 1 else turned[0]


def resized(images: Tensor, size: int) -> Tensor:
    """(N, S, S) uint8 -> (N, size, size) uint8: bilinear with anti-aliasing, then each image stretched to 0 .. 255.

    A thin line that is averaged with the paper around it would else lose its contrast.
    """
    if images.shape[-1] == size:
        return images
    small = F.interpolate(images.unsqueeze(1).float(), (size, size), mode="bilinear", antialias=True).squeeze(1)
    low, high = small.amin((1, 2), keepdim=True), small.amax((1, 2), keepdim=True)
    return ((small - low) * (255 / (high - low).clamp_min(1))).round().to(torch.uint8)


def normalised(images: Tensor, ink: str) -> Tensor:
    """uint8 -> float32 in [0, 1]: ink dark on light as in the files (`dark`), or ink as 1 on paper 0 (`light`)."""
    pixels = images.float().mul_(1 / 255)
    return pixels.neg_().add_(1) if ink == "light" else pixels


def check_ink(ink: str) -> None:
    """Raises ValueError where the ink is not known."""
    if ink not in INKS:
        raise ValueError(f"dataset.ink={ink!r} is not known; choose {' or '.join(INKS)}")


def check_rotations(angles: Sequence[int]) -> None:
    """Raises DataError where an angle is no multiple of 90 in [0, 270], or is named twice."""
    if not angles or set(angles) - set(ANGLES) or len(set(angles)) != len(angles):
        raise DataError(f"dataset.rotations={list(angles)} must be distinct angles out of {list(ANGLES)}")
