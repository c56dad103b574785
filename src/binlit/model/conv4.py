"""The four-convolution nets of Omniglot: encoder and classifier (studies A3 and A2, docs/studies.md)."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from binlit.model.activation import ACTIVATIONS

WIDTH, BLOCKS = 64, 4


class Conv4(nn.Module):
    """4 x [conv 3x3 with 64 channels, BatchNorm, MaxPool 2, activation], flattened; 111,936 parameters.

    Source: Vinyals et al. 2016 (1606.04080), section 4.1; the activation comes after the pooling, as in study A3.

    Args:
        activation: `relu` (as in the study), `hard_sigmoid` or `hard_tanh`.

    Shape: (N, 1, S, S) -> (N, 64 * (S // 16)^2): 64 values for 28x28. Sites: act1 to act4, after the pooling.
    """

    def __init__(self, activation: str = "relu") -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(1, BLOCKS + 1):
            layers[f"conv{i}"] = nn.Conv2d(1 if i == 1 else WIDTH, WIDTH, 3, padding=1)
            layers[f"bn{i}"] = nn.BatchNorm2d(WIDTH)
            layers[f"pool{i}"] = nn.MaxPool2d(2)
            layers[f"act{i}"] = ACTIVATIONS[activation]()  # (N, 64, S // 2^i, S // 2^i)
        self.features = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).flatten(1)


class OmniglotCnn(Conv4):
    """`Conv4` and a linear layer; 3,852,951 parameters with 1,623 classes at 105x105, as in study A2.

    Args:
        classes: number of outputs.
        image_size: side S of the images in pixels, >= 16.
        activation: as in `Conv4`.

    Shape: (N, 1, S, S) -> logits (N, classes). Sites: act1 to act4, after the pooling.
    """

    def __init__(self, classes: int = 964, image_size: int = 105, activation: str = "relu") -> None:
        super().__init__(activation)
        self.classifier = nn.Linear(WIDTH * (image_size // 2**BLOCKS) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(super().forward(x))
