"""The five-convolution net of the rows `none` and `first` of study A2 (docs/studies.md)."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn

from binlit.model.activation import ACTIVATIONS

WIDTHS = (1, 64, 128, 256, 512, 512)
HIDDEN, DROPOUT = 4096, 0.5


class OmniglotCnn5(nn.Module):
    """5 x [conv 3x3 stride 2, BatchNorm, activation] with 64-128-256-512-512 channels, linear 4096, dropout, linear.

    Args:
        classes: number of outputs.
        image_size: side S of the images in pixels; 105 (as in the study) leaves 512 x 4 x 4 values before the linear
            layers.
        activation: `relu` (as in the study), `hard_sigmoid` or `hard_tanh`.

    Shape: (N, 1, S, S) -> logits (N, classes). Sites: act1 to act5, after the convolutions.
    """

    def __init__(self, classes: int = 964, image_size: int = 105, activation: str = "relu") -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        side = image_size
        for i, (width_in, width_out) in enumerate(pairwise(WIDTHS), start=1):
            layers[f"conv{i}"] = nn.Conv2d(width_in, width_out, 3, stride=2, padding=1)
            layers[f"bn{i}"] = nn.BatchNorm2d(width_out)
            layers[f"act{i}"] = ACTIVATIONS[activation]()
            side = -(-side // 2)  # 105 -> 53 -> 27 -> 14 -> 7 -> 4
        self.features = nn.Sequential(layers)
        self.hidden, self.dropout = nn.Linear(WIDTHS[-1] * side**2, HIDDEN), nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(HIDDEN, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.hidden(self.features(x).flatten(1)).relu()))
