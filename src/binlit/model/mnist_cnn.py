"""The MNIST net of study A1 (docs/studies.md): two 5x5 convolutions and a linear classifier."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from binlit.model.activation import ACTIVATIONS


class MnistCnn(nn.Module):
    """2 x [conv 5x5 padding 2, BatchNorm, MaxPool 2, activation], then a linear layer; 29,034 parameters.

    Args:
        classes: number of outputs.
        activation: `hard_sigmoid` (as in the study), `hard_tanh` or `relu`.

    Shape: (N, 1, 28, 28) -> logits (N, classes). Sites: act1 (16 x 14 x 14 units), act2 (32 x 7 x 7 units).
    """

    def __init__(self, classes: int = 10, activation: str = "hard_sigmoid") -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 16, 5, padding=2),
                bn1=nn.BatchNorm2d(16),
                pool1=nn.MaxPool2d(2),
                act1=act(),  # (N, 16, 14, 14)
                conv2=nn.Conv2d(16, 32, 5, padding=2),
                bn2=nn.BatchNorm2d(32),
                pool2=nn.MaxPool2d(2),
                act2=act(),  # (N, 32, 7, 7)
            )
        )
        self.classifier = nn.Linear(32 * 7 * 7, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))
