"""Small residual nets in the two ways in which binary ones are built: XNOR-Net's block and Bi-Real-Net's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from binlit.model.activation import ACTIVATIONS

BLOCKS = ("xnor", "bireal")


class BinaryResNet(nn.Module):
    """A real 3x3 stem, two 3x3 convolutions for each of `widths`, average pooling, a real linear layer.

    - `xnor`: [BatchNorm, activation, convolution] twice, and a shortcut around the two.
    - `bireal`: [activation, convolution, BatchNorm] with a shortcut around each, which carries the real values from
      before the bits.

    Each width but the first halves the image; the shortcut there is average pooling, a real 1x1 convolution and
    BatchNorm. The net itself is real; the blocks are named after what they are made for.

    Args:
        classes: number of outputs.
        channels: of the images.
        block: `xnor` or `bireal`.
        widths: channels of each stage.
        stem_stride: 1, or 2 to halve the image at once.
        activation: `relu`, `hard_tanh` or `hard_sigmoid`; where the net is binary, the units take its place.

    Shape: (N, channels, S, S) -> logits (N, classes). Sites: act1, act2, ..., two for each width.

    Raises:
        ValueError: block is not known.

    Source: Rastegari et al. 2016 (1603.05279), section 3.2; Liu et al. 2018 (1808.00278), section 3.
    """

    def __init__(
        self,
        classes: int = 10,
        channels: int = 3,
        block: str = "bireal",
        widths: Sequence[int] = (16, 32, 64),
        stem_stride: int = 1,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if block not in BLOCKS:
            raise ValueError(f"block={block!r} is not known; choose {' or '.join(BLOCKS)}")
        self.block = block
        self.stem = nn.Conv2d(channels, widths[0], 3, stride=stem_stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0] if block == "bireal" else widths[-1])
        self.features, self.shortcuts = nn.ModuleDict(), nn.ModuleDict()
        width_in, number = widths[0], 0
        for width in widths:
            for first in (True, False):
                number += 1
                stride = 2 if first and number > 1 else 1
                self.features[f"act{number}"] = ACTIVATIONS[activation]()
                self.features[f"conv{number}"] = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
                self.features[f"bn{number}"] = nn.BatchNorm2d(width if block == "bireal" else width_in)
                if first or block == "bireal":
                    self.shortcuts[str(number)] = _shortcut(width_in, width, stride)
                width_in = width
        self.count = number
        self.classifier = nn.Linear(width_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self._bireal(self.norm(x)) if self.block == "bireal" else self.norm(self._xnor(x)).relu()
        return self.classifier(x.mean((2, 3)))

    def _bireal(self, x: Tensor) -> Tensor:
        for i in range(1, self.count + 1):
            act, conv, norm = (self.features[f"{name}{i}"] for name in ("act", "conv", "bn"))
            y = norm(conv(act(x)))
            x = y + self.shortcuts[str(i)](x)
        return x

    def _xnor(self, x: Tensor) -> Tensor:
        for i in range(1, self.count + 1, 2):
            y = x
            for j in (i, i + 1):
                act, conv, norm = (self.features[f"{name}{j}"] for name in ("act", "conv", "bn"))
                y = conv(act(norm(y)))
            x = y + self.shortcuts[str(i)](x)
        return x


def _shortcut(width_in: int, width: int, stride: int) -> nn.Module:
    if stride == 1 and width_in == width:
        return nn.Identity()
    return nn.Sequential(
        nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width)
    )
