"""Accuracies over episodes: their mean, their interval, and rows compared episode by episode."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def name_of(way: int, shot: int) -> str:
    """`5w1s` for 5-way 1-shot: how metrics name a kind of episode."""
    return f"{way}w{shot}s"


def interval_over_episodes(accuracies: Tensor | Sequence[float]) -> tuple[float, float]:
    """Mean accuracy over episodes and the half-width of its 95 % interval (Student's t; NaN for one episode).

    An episode is one observation: its queries share classes and support drawings, and are not independent.
    """
    from scipy import stats

    x = torch.as_tensor(accuracies, dtype=torch.float64)
    if len(x) < 2:
        return float(x.mean()), float("nan")
    half = stats.t.ppf(0.975, len(x) - 1) * float(x.std()) / len(x) ** 0.5
    return float(x.mean()), float(half)
