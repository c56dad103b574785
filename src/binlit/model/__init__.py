"""Which net: plain modules that know nothing of binarization."""

from binlit.model.mlp import Mlp
from binlit.model.mnist_cnn import MnistCnn

__all__ = ["Mlp", "MnistCnn"]
