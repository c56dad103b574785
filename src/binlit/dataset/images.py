"""Image data held in memory: a batch is one indexed gather and one normalisation.

No per-image Python, no worker processes: a data set of uint8 tensors, a sampler that yields index tensors, and a
normalisation on the device that the batch has reached. Splits and batch order depend on (seed, epoch) alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from binlit.dataset.errors import DataError


@dataclass(frozen=True)
class Images(Dataset[tuple[Tensor, Tensor]], Sized):
    """Images (N, C, H, W) uint8 and labels (N,) int64, indexed by a tensor of indices at once."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]


class EpochBatches(Sampler[Tensor]):
    """Index tensors of one epoch; the order is a function of (seed, epoch), wherever the run was interrupted.

    Args:
        count: number of examples.
        batch_size: examples a batch; the last batch of an epoch may be smaller.
        seed: None keeps the order of the data.
    """

    def __init__(self, count: int, batch_size: int, seed: int | None = None) -> None:
        self.count, self.batch_size, self.seed, self.epoch = count, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        if self.seed is None:
            order = torch.arange(self.count)
        else:
            order = torch.randperm(self.count, generator=generator(self.seed, self.epoch))
        yield from order.split(self.batch_size)


def generator(*key: int) -> torch.Generator:
    """A generator seeded by all of `key`."""
    seed = 0
    for part in key:
        seed = (seed * 1_000_003 + part + 1) % (2**63 - 1)
    return torch.Generator().manual_seed(seed)


class ImageData(pl.LightningDataModule):
    """Base of the image data sets; subclasses define `load` (or `split`), and `mean` and `std` of pixels in [0, 1].

    Args:
        batch_size, eval_batch_size: examples a batch in training; in validation and testing.
        validation: examples split off the training part at random, by the seed.
        seed: of the split and of the batch order.
        classes: number of classes.
    """

    mean: float
    std: float

    def __init__(self, batch_size: int, eval_batch_size: int, validation: int, seed: int, classes: int) -> None:
        super().__init__()
        self.batch_size, self.eval_batch_size, self.validation = batch_size, eval_batch_size, validation
        self.seed, self.classes = seed, classes
        self.parts: dict[str, Images] = {}

    def load(self) -> tuple[Images, Images]:
        """The training and the test part, read whole.

        Raises:
            DataError: the data is missing or damaged.
        """
        raise NotImplementedError

    def split(self) -> dict[str, Images]:
        """The parts `train`, `val` and `test`; here validation images are split off the training part at random.

        Raises:
            DataError: the data is missing or damaged, or too small for the split.
        """
        pool, test = self.load()
        if self.validation >= len(pool):
            raise DataError(f"dataset.validation={self.validation} leaves nothing to train on: {len(pool)} images")
        order = torch.randperm(len(pool), generator=generator(self.seed))
        held_out, kept = order[: self.validation], order[self.validation :]
        return {"train": Images(*pool[kept]), "val": Images(*pool[held_out]), "test": test}

    def setup(self, stage: str | None = None) -> None:
        self.parts = self.parts or self.split()

    def example_images(self, count: int) -> Tensor:
        """The first `count` validation images, normalised; read after `setup`."""
        return self.normalise(self.parts["val"].images[:count])

    def _loader(self, part: str, batch_size: int, seed: int | None) -> DataLoader[tuple[Tensor, Tensor]]:
        data = self.parts[part]
        # The loader draws a base seed from its generator each epoch: an own one leaves torch's global one alone.
        return DataLoader(
            data,
            sampler=EpochBatches(len(data), batch_size, seed),
            batch_size=None,
            collate_fn=as_is,
            generator=torch.Generator(),
        )

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        return self._loader("train", self.batch_size, self.seed)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        return self._loader("val", self.eval_batch_size, None)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        return self._loader("test", self.eval_batch_size, None)

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        images, labels = batch
        return self.normalise(images), labels

    def normalise(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 -> float32, (pixel / 255 - mean) / std."""
        return images.float().sub_(255 * self.mean).mul_(1 / (255 * self.std))


def as_is(batch: Any) -> Any:
    """For a loader whose data set gives whole batches."""
    return batch
