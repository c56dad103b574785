"""On what data: Lightning data modules over tensors in memory."""

from binlit.dataset.characters import Glyphs, Omniglot
from binlit.dataset.digits import Digits
from binlit.dataset.drawings import Drawings
from binlit.dataset.episodes import GlyphEpisodes, OmniglotEpisodes
from binlit.dataset.errors import DataError
from binlit.dataset.images import EpochBatches, ImageData, Images
from binlit.dataset.mnist import FashionMnist, Mnist

__all__ = [
    "DataError", "Digits", "Drawings", "EpochBatches", "FashionMnist", "GlyphEpisodes", "Glyphs", "ImageData", "Images",
    "Mnist", "Omniglot", "OmniglotEpisodes",
]  # fmt: skip
