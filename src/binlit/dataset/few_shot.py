"""Few-shot learning: Lightning data modules that give episodes, of Omniglot's characters or of glyphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from binlit.dataset.drawings import Drawings, check_ink, check_rotations, normalised, rotated
from binlit.dataset.episodes import DrawnClasses, EpisodeBatch, EpisodeBatches, Kind
from binlit.dataset.glyphs import draw_glyphs
from binlit.dataset.images import as_is
from binlit.dataset.omniglot import SPLITS, is_at_hand, load_omniglot

EVALUATION_SEED = 0  # the same episodes for every row and every seed of a table, so that rows can be paired


class Episodes(pl.LightningDataModule):
    """Base: subclasses define `drawings`. Each character is for training, validation or testing alone.

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
        """Reads and divides the characters; of the stage `test` those for testing alone.

        Raises:
            DataError: also where an episode needs more classes or drawings than there are.
        """
        wanted = ("test",) if stage == "test" else ("train", "val", "test")
        if set(wanted) <= self.parts.keys():
            return
        drawn = self.drawings()
        kept = torch.ones(drawn.background, dtype=torch.bool)
        kept[drawn.validation] = False
        background, evaluation = drawn.images[: drawn.background], drawn.images[drawn.background :]
        whole = {"train": background[kept], "val": background[drawn.validation], "test": evaluation}
        parts = {name: whole[name] for name in wanted}
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

    def is_at_hand(self) -> bool:
        """Whether its files are there without a download."""
        return is_at_hand(self.data_dir)

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
