"""Few-shot learning: an encoder, binary or not, learns to classify with a few labelled drawings of each class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from binlit.estimator import Step
from binlit.interval import interval
from binlit.model.head import HEADS, Head
from binlit.task.learning import Learning

EpisodeBatch = tuple[Tensor, Tensor, Tensor]  # images, support, query: see binlit.dataset.episodes
ENCODE_AT_ONCE = 128  # images in evaluation mode: more only takes memory


class FewShot(Learning):
    """Trains and tests an encoder by episodes, under a matching or a prototypical head.

    All images of a batch of episodes go through the encoder in one call. The loss of a query is the negative
    log-probability of its class.

    Rewards of score-function estimators: the bits of a *query* image affect the loss of that query alone, and are
    rewarded with that loss. The bits of a *support* image affect the loss of every query of its episode, and are
    rewarded with the mean of these losses. A smaller reward for support bits would be biased. The losses of other
    queries in the reward of a query's bits would add noise. With several draws of the batch, draw k of each image is
    used with draw k of the others. So the baseline, which comes from the other draws, does not depend on the image's
    bits, and the estimate is unbiased (tests/task/test_few_shot.py enumerates a small episode).

    Args:
        net: (N, C, H, W) -> embeddings (N, D).
        head: `matching` or `prototypical`.
        distance, scale: of the head, see `Head`.
        floor: smaller probabilities are raised to it and send no gradient (1e-8 in study A3, docs/studies.md); None for
            no floor.
        others: as in `Learning`; `classes` is the way of the evaluated episodes.
    """

    def __init__(
        self,
        net: nn.Module,
        *args: Any,
        head: str = "matching",
        distance: str = "squared_l2",
        scale: float | None = None,
        floor: float | None = None,
        **others: Any,
    ) -> None:
        super().__init__(net, *args, **others)
        self.head: Head = HEADS[head](distance, scale)
        self.floor = floor
        self._correct: dict[int, list[Tensor]] = {}  # by test, queries classified rightly, episode by episode

    def predictions(self, embeddings: Tensor, support: Tensor, query: Tensor) -> Tensor:
        """Log-probabilities (..., E, way * query, way) of embeddings (..., U, D) and indices into U; float32."""
        with torch.autocast(embeddings.device.type, enabled=False):  # a difference of distances needs the digits
            z = embeddings.float()
            known, asked = z[..., support, :], z[..., query.flatten(1), :]
            chances = self.head(known, asked)
            return chances if self.floor is None else chances.exp().clamp_min(self.floor).log()

    def training_step(self, batch: EpisodeBatch, batch_idx: int) -> Tensor:
        images, support, query = batch
        with Step(self.net) as step:
            z = self.net(step.inputs(images))  # (R * U, D)
            z = z.unflatten(0, (-1, len(images)))
            logs = self.predictions(z, support, query)  # (R, E, way * query, way)
            targets = labels(query).expand(logs.shape[:-1])
            losses = -logs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)  # (R, E, way * query)
            loss = step.loss(*shared_losses(losses, support, query, len(images)))
        drawn = (step.drawn(rows.detach().flatten(0, 1)).flatten(0, 1) for rows in (logs, targets, losses))
        self.seen(loss, *drawn, examples=query.numel())
        return loss

    def evaluate(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor, int]:
        images, support, query = batch
        logs = self.mean_prediction(lambda: self.predictions(self.encode(images), support, query)).flatten(0, 1)
        return logs, labels(query).flatten(), query.numel()

    def encode(self, images: Tensor) -> Tensor:
        """Embeddings (N, D) in evaluation mode; each image's bits are drawn once, whatever episodes share it.

        Images (N, 1, S, S) as uint8 are normalised by the data module, a few at a time: all at once would take memory.
        """
        chunks = images.split(ENCODE_AT_ONCE)
        if not images.is_floating_point():
            data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
            return torch.cat([self.net(data.normalise(chunk)) for chunk in chunks])
        return torch.cat([self.net(chunk) for chunk in chunks])

    def on_test_start(self) -> None:
        super().on_test_start()
        self._correct.clear()
        self.tested.clear()

    def test_step(self, batch: EpisodeBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        logs, targets, examples = self.evaluate(batch)
        right = (logs.argmax(1) == targets).view(len(batch[1]), -1).sum(1)
        self._correct.setdefault(dataloader_idx, []).append(right)
        if dataloader_idx == 0:
            losses = -logs.gather(1, targets[:, None]).squeeze(1)
            self._count("test", logs, targets, losses, examples)

    def on_test_epoch_end(self) -> None:
        self.log_dict(self._totals("test"))
        kinds = [self.trainer.datamodule.kind, *self.trainer.datamodule.also]  # type: ignore[attr-defined]
        for number, right in self._correct.items():
            kind, counts = kinds[number], torch.cat(right)
            # an episode is one observation: its queries share classes and support drawings, and are not independent
            mean, half = interval((counts / (kind.way * kind.query)).tolist())
            self.log_dict({f"test/acc_{kind.name}": mean, f"test/ci95_{kind.name}": half})
            self.tested.setdefault("episodes", {})[kind.name] = counts.tolist()


def labels(query: Tensor) -> Tensor:
    """The class of each query, 0 .. way - 1, as it stands in its episode: (E, way, query) -> (E, way * query)."""
    episodes, way, each = query.shape
    return torch.arange(way, device=query.device).repeat_interleave(each).expand(episodes, -1)


def shared_losses(losses: Tensor, support: Tensor, query: Tensor, images: int) -> tuple[Tensor, Tensor, Tensor]:
    """Losses of queries in the form that `Step.loss` takes: one for each image, with the reward of its bits.

    Args:
        losses: (R, E, way * query).
        support, query: the batch's indices; each names an image of its own.
        images: U, how many images there are.

    Returns:
        losses (R * U,): a query's loss at the row of its image, times U / number of queries, and 0 at support images:
        their mean is the mean loss. rewards (R * U,): the mean of the losses that the image has a part in.
        weights (U,): the factor with which that reward counts in the sum of `losses`: U / number of queries for a query
        image, U / E for a support image.
    """
    lanes, episodes = losses.shape[:2]
    own, taught = query.flatten(), support.flatten()
    by_image = losses.new_zeros(lanes, images).index_copy(1, own, losses.flatten(1) * (images / own.numel()))
    shared = losses.mean(2, keepdim=True).expand(-1, -1, taught.numel() // episodes).flatten(1)
    rewards = losses.new_zeros(lanes, images).index_copy(1, own, losses.flatten(1)).index_copy(1, taught, shared)
    weights = losses.new_zeros(images)
    weights[own], weights[taught] = images / own.numel(), images / episodes
    return by_image.flatten(), rewards.flatten(), weights
