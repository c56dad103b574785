"""From embeddings of a few labelled drawings to a prediction: the two heads of few-shot learning."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DISTANCES = ("squared_l2", "cosine")


class Head(nn.Module):
    """Base: similarity of embeddings.

    Args:
        distance: `squared_l2` (similarity: minus the squared Euclidean distance) or `cosine` (times a learned scale:
            without one the largest probability of 5 classes is 0.65).
        scale: of the similarities, > 0: fixed for `squared_l2` (1 where not given), to start from for `cosine` (10). A
            real encoder learns a scale; bits cannot, and with 64 of them distances of 30 saturate the softmax.

    Raises:
        ValueError: the distance is not known, or scale <= 0.

    Shape: support (..., way, shot, D), queries (..., Q, D) -> log-probabilities of the classes (..., Q, way).
    """

    def __init__(self, distance: str = "squared_l2", scale: float | None = None) -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(f"distance={distance!r} is not known; choose {', '.join(DISTANCES)}")
        if scale is not None and not scale > 0:
            raise ValueError(f"scale={scale} must be above 0")
        self.scale = 1.0 if scale is None else scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale or 10.0))) if distance == "cosine" else None

    def similarity(self, queries: Tensor, others: Tensor) -> Tensor:
        """(..., Q, D) and (..., M, D) -> (..., Q, M)."""
        if self.log_scale is not None:
            # an embedding of nothing but zeros (all bits off) has no direction: eps keeps its gradient finite
            queries, others = F.normalize(queries, dim=-1, eps=1e-3), F.normalize(others, dim=-1, eps=1e-3)
            return self.log_scale.exp() * queries @ others.mT
        # |q - s|^2 less |q|^2, which is the same for all s and leaves the softmax alone
        return self.scale * (2 * queries @ others.mT - others.square().sum(-1).unsqueeze(-2))


class MatchingNetwork(Head):
    """Attention over all support drawings: p(class) = sum of softmax(similarity) over the class's drawings.

    Source: Vinyals et al. 2016 (1606.04080), eq. 1, without the full-context embeddings; with squared L2.
    """

    def forward(self, support: Tensor, queries: Tensor) -> Tensor:
        way, shot = support.shape[-3:-1]
        attention = self.similarity(queries, support.flatten(-3, -2)).log_softmax(-1)  # (..., Q, way * shot)
        return attention.unflatten(-1, (way, shot)).logsumexp(-1)


class PrototypicalNetwork(Head):
    """Similarity to the mean of each class's drawings: p(class) = softmax(similarity to its prototype).

    With one drawing a class it is the same as the matching network.
    Source: Snell et al. 2017 (1703.05175), eq. 1 and 2.
    """

    def forward(self, support: Tensor, queries: Tensor) -> Tensor:
        return self.similarity(queries, support.mean(-2)).log_softmax(-1)


HEADS: dict[str, type[Head]] = {"matching": MatchingNetwork, "prototypical": PrototypicalNetwork}
