"""Classification: cross entropy, accuracy, and any estimator at any site."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from binlit.estimator import Step
from binlit.task.learning import Learning

Batch = tuple[Tensor, Tensor]


class Classification(Learning):
    """Trains and tests a net (N, C, H, W) -> logits (N, classes), binary or not, on labelled images.

    Args and attributes: as in `Learning`.
    """

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        with Step(self.net) as step:
            logits = self.net(step.inputs(x))
            targets = step.targets(y)
            losses = F.cross_entropy(logits, targets, reduction="none")  # (R * B,)
            loss = step.loss(losses)
        self.seen(loss, *(step.drawn(rows.detach()) for rows in (logits, targets, losses)), examples=len(y))
        return loss

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor, int]:
        x, y = batch
        return self.mean_prediction(lambda: self.net(x)), y, len(y)
