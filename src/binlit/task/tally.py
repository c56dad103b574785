"""Accuracy and mean loss over the batches of one part: training, validation or test."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

COUNT_EVERY = 32  # batches


class Tally(nn.Module):
    """Counts batches, several at a time: two metric updates a step would be felt.

    Args:
        classes: number of classes that a prediction tells apart.

    Attributes:
        examples: how many have been counted since `examples` was last set to 0.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        # validate_args would look through every batch; the labels were checked when they were read
        self.accuracy = MulticlassAccuracy(classes, average="micro", validate_args=False)
        self.loss = MeanMetric(nan_strategy="disable")
        self.examples = 0
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        self._judged = 0  # of those that wait, how many the accuracy has counted

    def add(self, logits: Tensor, targets: Tensor, losses: Tensor, examples: int) -> Tensor | None:
        """Counts logits (n, classes), targets (n,) and losses (n,), all of them detached.

        Args:
            examples: how many examples these are; repeats of a batch are not counted.

        Returns:
            Where batches that waited are counted with it: their mean loss.
        """
        self.examples += examples
        self._waiting.append((logits, targets, losses))
        return self.flush() if len(self._waiting) == COUNT_EVERY else None

    def flush(self) -> Tensor | None:
        """Counts the batches that wait; their mean loss, None where none does."""
        self._count_right()
        waiting, self._waiting, self._judged = self._waiting, [], 0
        if not waiting:
            return None
        losses = torch.cat([batch[2] for batch in waiting])
        self.loss.update(losses)
        return losses.mean()

    def accuracy_so_far(self) -> Tensor:
        """That of all batches up to now. The mean loss, whose last digits depend on what is added at once, waits."""
        self._count_right()
        return self.accuracy.compute()

    def _count_right(self) -> None:
        unjudged, self._judged = self._waiting[self._judged :], len(self._waiting)
        if unjudged:
            logits, targets, _ = zip(*unjudged, strict=True)
            self.accuracy.update(torch.cat(logits), torch.cat(targets))

    def totals(self) -> tuple[Tensor, Tensor]:
        """Accuracy and mean loss of what was counted since the last call; counting starts anew."""
        self.flush()
        totals = self.accuracy.compute(), self.loss.compute()
        self.accuracy.reset()
        self.loss.reset()
        return totals

    def drop_waiting(self) -> None:
        """Leaves out what an interrupted epoch has left."""
        self._waiting, self._judged = [], 0
