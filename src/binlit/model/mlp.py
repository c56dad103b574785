"""The multilayer perceptron of study A5 (784-100-10) and its deeper relatives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from binlit.model.activation import ACTIVATIONS


class Mlp(nn.Module):
    """Linear layers with an activation behind each but the last.

    Args:
        inputs: values of one flattened example.
        hidden: widths of the hidden layers, at least one.
        classes: number of outputs.
        activation: `hard_sigmoid` (as in the study), `hard_tanh` or `relu`.

    Shape: (N, ...) with `inputs` values an example -> logits (N, classes). Sites: act1, act2, ...
    """

    def __init__(
        self,
        inputs: int = 784,
        hidden: Sequence[int] = (100,),
        classes: int = 10,
        activation: str = "hard_sigmoid",
    ) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        widths = [inputs, *hidden]
        for i, (width_in, width_out) in enumerate(pairwise(widths), start=1):
            layers[f"fc{i}"] = nn.Linear(width_in, width_out)
            layers[f"act{i}"] = ACTIVATIONS[activation]()
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
