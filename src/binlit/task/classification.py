"""Classification: a loss, accuracy, and any estimator at any site."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from binlit.errors import ConfigError
from binlit.estimator import Step
from binlit.task.learning import Learning

Batch = tuple[Tensor, Tensor]


def squared_hinge(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean over classes of max(0, 1 - t * score)^2, t = +1 for the right class and -1 for the others.

    Shape: scores (n, classes), targets (n,) int64 -> (n,).
    Source: Tang 2013 (1306.0239), the L2-SVM's loss; the mean over classes is that of BNN's code (1602.02830).
    """
    signs = 2 * F.one_hot(targets, scores.shape[-1]).to(scores.dtype) - 1
    return (1 - signs * scores).clamp_min(0).square().mean(-1)


LOSSES = {"cross_entropy": lambda x, y: F.cross_entropy(x, y, reduction="none"), "squared_hinge": squared_hinge}


class Classification(Learning):
    """Trains and tests a net (N, C, H, W) -> logits (N, classes), binary or not, on labelled images.

    Args:
        loss: `cross_entropy` or `squared_hinge`, in training, validation and testing.
        others, and attributes: as in `Learning`.
    """

    def __init__(self, *args: Any, loss: str = "cross_entropy", **settings: Any) -> None:
        super().__init__(*args, **settings)
        if loss not in LOSSES:
            raise ValueError(f"loss={loss!r} is not known; choose {' or '.join(LOSSES)}")
        self.loss = loss

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        return LOSSES[self.loss](logits, targets)

    def on_train_start(self) -> None:
        """Refuses a batch of one example where the net cannot be trained on it: BatchNorm needs two values a channel.

        Raises:
            ConfigError: the last batch of an epoch, or every one, is such a batch.
        """
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        count, size = len(getattr(data, "parts", {}).get("train", ())), getattr(data, "batch_size", 0)
        if not (count and size):  # a module of somebody else's
            return
        last = count % size == 1 and self.trainer.num_training_batches == -(-count // size)
        if not (last or size == 1):
            return
        net = deepcopy(self.net)  # running statistics are kept out of it
        try:
            with torch.no_grad(), torch.random.fork_rng(), Step(net) as step:
                net(step.inputs(data.example_images(1).to(self.device)))
        except ValueError as error:
            near = next(other for other in range(size + 1, count + 1) if count % other != 1)
            raise ConfigError(
                f"dataset.batch_size={size} leaves one of {count} examples alone in a batch, which this net cannot be "
                f"trained on ({error}); write dataset.batch_size={near}"
            ) from error

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        with Step(self.net) as step:
            logits = self.net(step.inputs(x))
            targets = step.targets(y)
            losses = self.losses(logits, targets)  # (R * B,)
            loss = step.loss(losses)
        self.seen(loss, *(step.drawn(rows.detach()) for rows in (logits, targets, losses)), examples=len(y))
        return loss

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, C, H, W), of the mean prediction over `eval_draws` draws."""
        if self.loss == "squared_hinge":  # a margin is no log-probability
            return torch.stack([self.net(x) for _ in range(self.eval_draws)]).mean(0)
        return self.mean_prediction(lambda: self.net(x))

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor, int]:
        x, y = batch
        return self.logits(x), y, len(y)
