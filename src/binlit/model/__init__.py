"""Which net: plain modules that know nothing of binarization."""

from binlit.model.bnn_convnet import BnnConvNet
from binlit.model.conv4 import Conv4, OmniglotCnn
from binlit.model.head import HEADS, MatchingNetwork, PrototypicalNetwork
from binlit.model.mlp import Mlp
from binlit.model.mnist_cnn import MnistCnn
from binlit.model.omniglot_cnn5 import OmniglotCnn5
from binlit.model.resnet import BinaryResNet

__all__ = [
    "HEADS", "BinaryResNet", "BnnConvNet", "Conv4", "MatchingNetwork", "Mlp", "MnistCnn", "OmniglotCnn",
    "OmniglotCnn5", "PrototypicalNetwork",
]  # fmt: skip
