"""Episodes: small classification problems, each of a few classes never met before, drawn in memory many at once.

A batch is (images, support, query): the distinct images (U, 1, S, S) of all its episodes, and index tensors into them,
(episodes, way, shot) and (episodes, way, query). Class w of an episode is the w-th of its `way` classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from binlit.dataset.drawings import Drawings, check_ink, check_rotations, normalised, rotated
from binlit.dataset.errors import DataError
from binlit.dataset.glyphs import draw_glyphs
from binlit.dataset.images import as_is, generator
from binlit.dataset.omniglot import SPLITS, load_omniglot

EpisodeBatch = tuple[Tensor, Tensor, Tensor]
BLOCK = 250  # fixed episodes are drawn so many at once, whatever the size of a batch
EVALUATION_SEED = 0  # the same episodes for every row and every seed of a table, so that rows can be paired


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


class Episodes(pl.LightningDataModule):
    """Base: subclasses define `drawings`. Characters are trained on, validated on or tested on, never two of these.

    Args:
        train_way, train_shot, train_query: of training episodes.
        way, shot, query: of validation and test episodes; `query` drawings of each class are classified.
        episodes: training episodes an epoch.
        batch_size: training episodes a step.
        val_episodes, test_episodes: the same ones in every epoch and every run.
        eval_batch_size: episodes evaluated at once; an image that several of them share is encoded once.
        also: further tests, each [way, shot]; their accuracies are logged as test/acc_20w5s and so on.
        rotations: angles in degrees; each rotation of a character is a class of its own, on its character's side.
        ink: as in `Characters`.
        seed: of the training episodes.
    """

    def __init__(
        self,
        train_way: int = 5,
        train_shot: int = 1,
        train_query: int = 15,
        way: int = 5,
        shot: int = 1,
        query: int = 15,
        episodes: int = 1000,
        batch_size: int = 4,
        val_episodes: int = 200,
        test_episodes: int = 1000,
        eval_batch_size: int = 50,
        also: Sequence[Sequence[int]] = (),
        rotations: Sequence[int] = (0, 90, 180, 270),
        ink: str = "light",
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_rotations(rotations)
        check_ink(ink)
        self.train_kind, self.kind = Kind(train_way, train_shot, train_query), Kind(way, shot, query)
        self.episodes, self.batch_size, self.eval_batch_size = episodes, batch_size, eval_batch_size
        self.val_episodes, self.test_episodes = val_episodes, test_episodes
        self.also = [Kind(way, shot, query) for way, shot in also]
        self.rotations, self.ink, self.seed = list(rotations), ink, seed
        self.parts: dict[str, DrawnClasses] = {}

    def drawings(self) -> Drawings:
        """All drawings there are.

        Raises:
            DataError: they are missing or damaged.
        """
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Reads and divides the characters.

        Raises:
            DataError: also where an episode asks for more classes or drawings than there are.
        """
        if self.parts:
            return
        drawn = self.drawings()
        kept = torch.ones(drawn.background, dtype=torch.bool)
        kept[drawn.validation] = False
        background, evaluation = drawn.images[: drawn.background], drawn.images[drawn.background :]
        parts = {"train": background[kept], "val": background[drawn.validation], "test": evaluation}
        for name, images in parts.items():
            kinds = {"train": [self.train_kind], "val": [self.kind], "test": [self.kind, *self.also]}[name]
            for kind in kinds:
                kind.check(len(images) * len(self.rotations), drawn.each, name)
        self.parts = {
            name: DrawnClasses(rotated(images, self.rotations), once=name != "train") for name, images in parts.items()
        }

    def _loader(self, part: str, count: int, batch_size: int, kind: Kind, fixed: bool) -> DataLoader[EpisodeBatch]:
        data = self.parts[part]
        seed = EVALUATION_SEED if fixed else self.seed
        classes, each = data.images.shape[:2]
        sampler = EpisodeBatches(count, batch_size, kind, classes, each, seed, fixed)
        return DataLoader(data, sampler=sampler, batch_size=None, collate_fn=as_is, generator=torch.Generator())

    def train_dataloader(self) -> DataLoader[EpisodeBatch]:
        return self._loader("train", self.episodes, self.batch_size, self.train_kind, fixed=False)

    def val_dataloader(self) -> DataLoader[EpisodeBatch]:
        return self._loader("val", self.val_episodes, self.eval_batch_size, self.kind, fixed=True)

    def test_dataloader(self) -> list[DataLoader[EpisodeBatch]]:
        kinds = [self.kind, *self.also]
        return [self._loader("test", self.test_episodes, self.eval_batch_size, kind, fixed=True) for kind in kinds]

    def on_after_batch_transfer(self, batch: EpisodeBatch, dataloader_idx: int) -> EpisodeBatch:
        images, support, query = batch
        if self.trainer is not None and not self.trainer.training:
            return batch  # tens of thousands of images: the task normalises them a few at a time
        return self.normalise(images), support, query

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 -> float32, see `binlit.dataset.drawings.normalised`."""
        return normalised(images, self.ink)

    def example_images(self, count: int) -> Tensor:
        """`count` validation images, one each of as many classes as there are, normalised; read after `setup`."""
        return self.normalise(self.parts["val"].images.transpose(0, 1).flatten(0, 1)[:count].unsqueeze(1))


class OmniglotEpisodes(Episodes):
    """Omniglot: background alphabets for training, five of them for validation, evaluation alphabets for testing.

    Args:
        data_dir, download, image_size, split: as in `load_omniglot`.
        others: as in `Episodes`.
    """

    def __init__(
        self,
        data_dir: str = "data",
        download: bool = True,
        image_size: int = 28,
        split: str = "background",
        **others,
    ) -> None:
        super().__init__(**others)
        if split not in SPLITS:
            raise ValueError(f"dataset.split={split!r} is not known; choose {' or '.join(SPLITS)}")
        self.data_dir, self.download, self.image_size, self.division = Path(data_dir), download, image_size, split

    def drawings(self) -> Drawings:
        return load_omniglot(self.data_dir, self.download, self.image_size, self.division)


class GlyphEpisodes(Episodes):
    """Characters drawn by a program (see `draw_glyphs`).

    Args:
        image_size, glyph_seed: as in `draw_glyphs`.
        characters: background characters, 15 % of them held out for validation.
        evaluation: characters for testing.
        drawings_each: drawings of each character.
        others: as in `Episodes`.
    """

    def __init__(
        self,
        image_size: int = 28,
        characters: int = 100,
        evaluation: int = 40,
        drawings_each: int = 20,
        glyph_seed: int = 0,
        **others,
    ) -> None:
        super().__init__(**others)
        self.image_size, self.characters, self.evaluation = image_size, characters, evaluation
        self.drawings_each, self.glyph_seed = drawings_each, glyph_seed

    def drawings(self) -> Drawings:
        return draw_glyphs(self.characters, self.drawings_each, self.image_size, self.glyph_seed, self.evaluation)
