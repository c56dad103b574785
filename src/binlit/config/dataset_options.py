"""Which keys the options of `dataset` have, and which values they take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from binlit.config.option import Count, Option, Place, Seed


def _distinct(values: list[int]) -> list[int]:
    if len(set(values)) != len(values):
        raise ValueError(f"dataset.rotations={values} names an angle twice")
    return values


Way = Annotated[int, Field(ge=2, le=10_000)]
Side = Annotated[int, Field(ge=16, le=256)]
OmniglotSize = Annotated[int, Field(ge=16, le=105)]
Ink = Literal["light", "dark"]
Rotations = Annotated[list[Literal[0, 90, 180, 270]], Field(min_length=1, max_length=4), AfterValidator(_distinct)]


class Dataset(Option):
    classes: Annotated[int, Field(ge=2, le=100_000)]
    batch_size: Count
    eval_batch_size: Count
    seed: Seed


class IdxDataset(Dataset):
    data_dir: Place
    download: bool
    validation: Count
    image_size: Literal[28, 32] = 28


class ColourDataset(Dataset):
    data_dir: Place
    download: bool
    validation: Count
    channels: Literal[3]
    image_size: Literal[32]


class Digits(Dataset):
    image_size: Annotated[int, Field(ge=8, le=256)] = 28
    validation: Annotated[int, Field(ge=1, le=1000)]


class CharacterData(Dataset):
    image_size: Side
    rotations: Rotations
    validation: Count
    test: Count
    ink: Ink


class Omniglot(CharacterData):
    data_dir: Place
    download: bool
    image_size: OmniglotSize


class Glyphs(CharacterData):
    drawings_each: Annotated[int, Field(ge=3, le=1000)]
    glyph_seed: Seed


class EpisodeData(Option):
    image_size: Side
    rotations: Rotations
    ink: Ink
    train_way: Way
    train_shot: Count
    train_query: Count
    way: Way
    shot: Count
    query: Count
    also: list[Annotated[list[Count], Field(min_length=2, max_length=2)]]
    episodes: Count
    batch_size: Count
    val_episodes: Count
    test_episodes: Count
    eval_batch_size: Count
    seed: Seed


class OmniglotEpisodes(EpisodeData):
    data_dir: Place
    download: bool
    image_size: OmniglotSize
    split: Literal["background", "vinyals"]


class GlyphEpisodes(EpisodeData):
    characters: Annotated[int, Field(ge=4, le=10_000)]
    evaluation: Annotated[int, Field(ge=2, le=10_000)]
    drawings_each: Annotated[int, Field(ge=2, le=1000)]
    glyph_seed: Seed


DATASETS: dict[str, type[Option]] = {
    "mnist": IdxDataset,
    "fashion_mnist": IdxDataset,
    "cifar10": ColourDataset,
    "svhn": ColourDataset,
    "digits": Digits,
    "omniglot": Omniglot,
    "glyphs": Glyphs,
    "omniglot_fewshot": OmniglotEpisodes,
    "glyphs_fewshot": GlyphEpisodes,
}
