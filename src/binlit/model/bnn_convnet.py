"""The convolutional net of BNN and BinaryConnect on CIFAR-10 and SVHN (1602.02830)."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from binlit.model.activation import ACTIVATIONS


class BnnConvNet(nn.Module):
    """(2 x 128C3)-MP2-(2 x 256C3)-MP2-(2 x 512C3)-MP2-(2 x 1024FC)-10, BatchNorm after each layer.

    Order within a layer, as in the paper's code: convolution, pooling, BatchNorm, activation. No biases beside
    BatchNorm's.

    Args:
        classes: number of outputs.
        channels: of the images: 3, or 1 for grey ones.
        image_size: side S of the images in pixels, >= 8.
        width: channels of the first convolution (128 in the paper; 64 for SVHN); the others are 1, 2, 2, 4, 4 times it.
        hidden: units of the two linear layers.
        activation: `hard_tanh` (as in the paper), `hard_sigmoid` or `relu`.

    Shape: (N, channels, S, S) -> logits (N, classes). Sites: act1 to act6 (convolutions), act7 and act8 (linear).

    Source: Hubara et al. 2016 (1602.02830), section 2.
    """

    def __init__(
        self,
        classes: int = 10,
        channels: int = 3,
        image_size: int = 32,
        width: int = 128,
        hidden: int = 1024,
        activation: str = "hard_tanh",
    ) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        widths = [channels, width, width, 2 * width, 2 * width, 4 * width, 4 * width]
        for i in range(1, 7):
            layers[f"conv{i}"] = nn.Conv2d(widths[i - 1], widths[i], 3, padding=1, bias=False)
            if i % 2 == 0:
                layers[f"pool{i}"] = nn.MaxPool2d(2)
            layers[f"bn{i}"] = nn.BatchNorm2d(widths[i])
            layers[f"act{i}"] = ACTIVATIONS[activation]()
        layers["flatten"] = nn.Flatten()
        values = widths[-1] * (image_size // 8) ** 2
        for i in (7, 8):
            layers[f"fc{i}"] = nn.Linear(values, hidden, bias=False)
            layers[f"bn{i}"] = nn.BatchNorm1d(hidden)
            layers[f"act{i}"] = ACTIVATIONS[activation]()
            values = hidden
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(hidden, classes, bias=False)
        self.norm = nn.BatchNorm1d(classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.classifier(self.features(x)))
