"""Episodes: small classification problems, each of a few new classes; many are drawn at once, in memory.

A batch is (images, support, query): the distinct images (U, 1, S, S) of all its episodes, and index tensors into them,
(episodes, way, shot) and (episodes, way, query). Class w of an episode is the w-th of its `way` classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from binlit.dataset.errors import DataError
from binlit.dataset.images import generator

EpisodeBatch = tuple[Tensor, Tensor, Tensor]
BLOCK = 250  # fixed episodes are drawn so many at once, whatever the size of a batch


@dataclass(frozen=True)
class Kind:
    """What an episode is made of.

    Attributes:
        way: classes.
        shot: labelled drawings of each class, the support set.
        query: drawings of each class to be classified.

    Raises:
        ValueError: way < 2, shot < 1 or query < 1.
    """

    way: int
    shot: int
    query: int

    def __post_init__(self) -> None:
        if self.way < 2 or self.shot < 1 or self.query < 1:
            raise ValueError(
                f"an episode of {self.way} classes (way), {self.shot} shot and {self.query} query drawings is none: "
                "give at least 2, 1 and 1"
            )

    @property
    def name(self) -> str:
        """`5w1s` for 5-way 1-shot: how metrics and records name it."""
        return f"{self.way}w{self.shot}s"

    def check(self, classes: int, each: int, part: str) -> None:
        """Raises DataError where `part` has too few classes, or too few drawings `each`."""
        if self.way > classes:
            raise DataError(
                f"{part} episodes of {self.way} classes (way) cannot be drawn from {classes} classes; take fewer, or "
                "more rotations"
            )
        if self.shot + self.query > each:
            raise DataError(
                f"{part} episodes need {self.shot} + {self.query} (shot + query) drawings of each class, and there are "
                f"{each}; take fewer"
            )


class DrawnClasses(Dataset[EpisodeBatch]):
    """Drawings of classes, (C, D, S, S) uint8, indexed by (support, query) as `draw_episodes` gives them.

    Args:
        images: the drawings.
        once: whether an image that several episodes of a batch share is there once, to be encoded once. Not in
            training: each place of an image has bits, and a loss, of its own.
    """

    def __init__(self, images: Tensor, once: bool) -> None:
        self.images, self.once = images, once
        self.flat = images.flatten(0, 1).unsqueeze(1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: tuple[Tensor, Tensor]) -> EpisodeBatch:
        support, query = chosen
        index = torch.cat([support.flatten(), query.flatten()])
        if self.once:
            distinct, place = index.unique(return_inverse=True)
        else:
            distinct, place = index, torch.arange(len(index))
        return self.flat[distinct], place[: support.numel()].view_as(support), place[support.numel() :].view_as(query)


def draw_episodes(count: int, kind: Kind, classes: int, each: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Episodes of distinct classes, and of distinct drawings of each: all sets are equally likely.

    Returns:
        support (count, way, shot) and query (count, way, query): class * each + drawing.
    """
    of = torch.rand(count, classes, generator=chance).topk(kind.way, dim=1).indices  # (count, way)
    drawing = torch.rand(count, kind.way, each, generator=chance).topk(kind.shot + kind.query, dim=2).indices
    index = of.unsqueeze(2) * each + drawing
    return index[..., : kind.shot], index[..., kind.shot :]


class EpisodeBatches(Sampler[tuple[Tensor, Tensor]]):
    """Index tensors of one epoch's episodes; what is drawn is a function of (seed, epoch), or of the seed alone.

    Args:
        count: episodes an epoch.
        batch_size: episodes a batch; the last one may be smaller.
        kind: of the episodes.
        classes, each: how many classes there are, and drawings of each.
        seed: of the draws.
        fixed: whether every epoch has the same episodes.
    """

    def __init__(
        self, count: int, batch_size: int, kind: Kind, classes: int, each: int, seed: int, fixed: bool = False
    ) -> None:
        self.count, self.batch_size, self.kind = count, batch_size, kind
        self.classes, self.each, self.seed, self.fixed, self.epoch = classes, each, seed, fixed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        chance = generator(self.seed, 0 if self.fixed else self.epoch + 1)
        if not self.fixed:
            for start in range(0, self.count, self.batch_size):
                yield self._draw(min(self.batch_size, self.count - start), chance)
            return
        blocks = [self._draw(min(BLOCK, self.count - start), chance) for start in range(0, self.count, BLOCK)]
        support, query = (torch.cat(part) for part in zip(*blocks, strict=True))
        yield from zip(support.split(self.batch_size), query.split(self.batch_size), strict=True)

    def _draw(self, count: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        return draw_episodes(count, self.kind, self.classes, self.each, chance)
