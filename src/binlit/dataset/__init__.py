"""On what data: Lightning data modules over tensors in memory."""

from binlit.dataset.available import available
from binlit.dataset.characters import Glyphs, Omniglot
from binlit.dataset.coloured import Cifar10, Svhn
from binlit.dataset.digits import Digits
from binlit.dataset.drawings import Drawings
from binlit.dataset.errors import DataError
from binlit.dataset.few_shot import GlyphEpisodes, OmniglotEpisodes
from binlit.dataset.images import EpochBatches, ImageData, Images
from binlit.dataset.mnist import FashionMnist, Mnist

__all__ = [
    "Cifar10", "DataError", "Digits", "Drawings", "EpochBatches", "FashionMnist", "GlyphEpisodes", "Glyphs",
    "ImageData", "Images", "Mnist", "Omniglot", "OmniglotEpisodes", "Svhn", "available",
]  # fmt: skip
