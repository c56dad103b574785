"""Which character is it? Omniglot and glyphs as classification: of every character some drawings are held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from binlit.dataset.drawings import Drawings, check_ink, check_rotations, normalised, rotated
from binlit.dataset.errors import DataError
from binlit.dataset.glyphs import draw_glyphs
from binlit.dataset.images import ImageData, Images, generator
from binlit.dataset.omniglot import is_at_hand, load_omniglot


class Characters(ImageData):
    """Base: subclasses define `drawings`. Of each character, other drawings are trained on, validated and tested on.

    Args:
        classes: number of classes, rotations counted; the first characters are taken.
        rotations: angles in degrees; each rotation of a character is a class of its own. All rotations of one drawing
            are in the same part.
        validation, test: drawings of each character that are held out, drawn by the seed.
        ink: `light` feeds ink as 1 on paper 0, so that a convolution's zero padding is paper; `dark` as in the files.
        batch_size, eval_batch_size, seed: as in `ImageData`.
    """

    def __init__(
        self,
        classes: int,
        rotations: Sequence[int] = (0,),
        validation: int = 2,
        test: int = 2,
        ink: str = "light",
        batch_size: int = 64,
        eval_batch_size: int = 500,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, validation, seed, classes)
        check_rotations(rotations)
        check_ink(ink)
        self.rotations, self.test, self.ink = list(rotations), test, ink

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 -> float32, see `binlit.dataset.drawings.normalised`."""
        return normalised(images, self.ink)

    def drawings(self) -> Drawings:
        """All drawings there are.

        Raises:
            DataError: they are missing or damaged.
        """
        raise NotImplementedError

    def split(self) -> dict[str, Images]:
        drawn, characters = self.drawings(), self.classes // len(self.rotations)
        if self.classes % len(self.rotations) or not 1 <= characters <= drawn.characters:
            raise DataError(
                f"dataset.classes={self.classes} cannot be made of {drawn.characters} characters in "
                f"{len(self.rotations)} rotations: give a multiple of {len(self.rotations)}, at most "
                f"{drawn.characters * len(self.rotations)}"
            )
        if self.validation + self.test >= drawn.each:
            raise DataError(
                f"dataset.validation={self.validation} and dataset.test={self.test} leave nothing of the {drawn.each} "
                "drawings of a character to train on"
            )
        images = drawn.images[:characters]
        order = torch.rand(characters, drawn.each, generator=generator(self.seed)).argsort(dim=1)
        order = order[..., None, None].expand(-1, -1, *images.shape[2:])
        images = rotated(images.gather(1, order), self.rotations)  # (classes, drawings, S, S), in shuffled order
        kept = drawn.each - self.validation - self.test
        parts = images.split([kept, self.validation, self.test], dim=1)
        return {
            name: Images(part.flatten(0, 1).unsqueeze(1), torch.arange(self.classes).repeat_interleave(part.shape[1]))
            for name, part in zip(("train", "val", "test"), parts, strict=True)
        }


class Omniglot(Characters):
    """Omniglot: the 964 background characters first, the 659 evaluation characters after them; 20 drawings each.

    Args:
        data_dir, download, image_size: as in `load_omniglot`.
        others: as in `Characters`.
    """

    def __init__(
        self, data_dir: str = "data", download: bool = True, image_size: int = 28, classes: int = 964, **others
    ):
        super().__init__(classes, **others)
        self.data_dir, self.download, self.image_size = Path(data_dir), download, image_size

    def is_at_hand(self) -> bool:
        """Whether its files are there without a download."""
        return is_at_hand(self.data_dir)

    def drawings(self) -> Drawings:
        return load_omniglot(
            self.data_dir, self.download, self.image_size, characters=self.classes // len(self.rotations)
        )


class Glyphs(Characters):
    """Characters drawn by a program (see `draw_glyphs`): a stand-in for Omniglot where there is no data.

    Args:
        image_size, drawings_each, glyph_seed: as in `draw_glyphs`.
        others: as in `Characters`.
    """

    def __init__(self, image_size: int = 28, classes: int = 50, drawings_each: int = 20, glyph_seed: int = 0, **others):
        super().__init__(classes, **others)
        self.image_size, self.drawings_each, self.glyph_seed = image_size, drawings_each, glyph_seed

    def drawings(self) -> Drawings:
        characters = self.classes // len(self.rotations)
        return draw_glyphs(max(characters, 1), self.drawings_each, self.image_size, self.glyph_seed)
