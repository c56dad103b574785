"""On what data: Lightning data modules over tensors in memory."""

from binlit.dataset.digits import Digits
from binlit.dataset.errors import DataError
from binlit.dataset.images import EpochBatches, ImageData, Images
from binlit.dataset.mnist import FashionMnist, Mnist

__all__ = ["DataError", "Digits", "EpochBatches", "FashionMnist", "ImageData", "Images", "Mnist"]
