"""Multilayer perceptrons: 784-100-10, BNN's (1602.02830), and those of studies B and C (docs/studies.md)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from binlit.model.activation import ACTIVATIONS

NORMS = ("none", "hidden", "all")


class Mlp(nn.Module):
    """Linear layers with an activation after each but the last.

    Args:
        inputs: values of one flattened example.
        hidden: widths of the hidden layers, at least one.
        classes: number of outputs.
        activation: `hard_sigmoid`, `hard_tanh` or `relu`.
        norm: BatchNorm before the `hidden` activations, after `all` linear layers (as in BNN), or `none`.
        dropout: share of hidden values dropped after each activation, in [0, 1).
        input_dropout: share of inputs dropped, in [0, 1).

    Shape: (N, ...) with `inputs` values an example -> logits (N, classes). Sites: act1, act2, ...

    Raises:
        ValueError: norm is not known.
    """

    def __init__(
        self,
        inputs: int = 784,
        hidden: Sequence[int] = (100,),
        classes: int = 10,
        activation: str = "hard_sigmoid",
        norm: str = "none",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm={norm!r} is not known; choose {', '.join(NORMS)}")
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        if input_dropout:
            layers["drop0"] = nn.Dropout(input_dropout)
        widths = [inputs, *hidden]
        for i, (width_in, width_out) in enumerate(pairwise(widths), start=1):
            layers[f"fc{i}"] = nn.Linear(width_in, width_out, bias=norm == "none")  # BatchNorm has a bias of its own
            if norm != "none":
                layers[f"bn{i}"] = nn.BatchNorm1d(width_out)
            layers[f"act{i}"] = ACTIVATIONS[activation]()
            if dropout:
                layers[f"drop{i}"] = nn.Dropout(dropout)
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(widths[-1], classes, bias=norm != "all")
        self.norm = nn.BatchNorm1d(classes) if norm == "all" else None

    def forward(self, x: Tensor) -> Tensor:
        scores = self.classifier(self.features(x))
        return scores if self.norm is None else self.norm(scores)
