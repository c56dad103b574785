"""Slope schedules: the slope of every binary unit as a function of the epoch, counted from 1."""

from __future__ import annotations

import math
from dataclasses import dataclass


class Schedule:
    """slope(epoch) > 0."""

    def slope(self, epoch: int) -> float:
        """Slope in force during `epoch` (1, 2, ...)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """`none`: the same slope in every epoch."""

    value: float = 1.0

    def slope(self, epoch: int) -> float:
        return self.value


@dataclass(frozen=True)
class Exponential(Schedule):
    """rate^(epoch - 1); with rate 1.005 the formula of study A (docs/studies.md)."""

    rate: float = 1.005

    def slope(self, epoch: int) -> float:
        return self.rate ** (epoch - 1)


@dataclass(frozen=True)
class Linear(Schedule):
    """min(maximum, start + per_epoch * epoch). Source: Chung et al. 2017 (1609.01704) section 4.2."""

    start: float = 1.0
    per_epoch: float = 0.04
    maximum: float = 5.0

    def slope(self, epoch: int) -> float:
        return min(self.maximum, self.start + self.per_epoch * epoch)


@dataclass(frozen=True)
class Cosine(Schedule):
    """From `start` in epoch 1 to `end` in epoch `epochs` along half a cosine; `end` from then on."""

    epochs: int
    start: float = 1.0
    end: float = 5.0

    def slope(self, epoch: int) -> float:
        done = min(1.0, (epoch - 1) / max(1, self.epochs - 1))
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Step(Schedule):
    """Times `factor` at every `every`-th epoch: factor^floor((epoch - 1) / every)."""

    factor: float = 2.0
    every: int = 3

    def slope(self, epoch: int) -> float:
        return self.factor ** ((epoch - 1) // self.every)
