"""A small net that is many nets at once, and the exact gradient of its expected loss.

An estimate is one number for each weight, and its spread is only seen over many estimates. So the net is replicated:
every replica has a copy of the weights, all see the same examples, and one backward pass gives each its own estimate.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binlit.binary import BinaryActivation, binarize, binary_units
from binlit.estimator import Call, Estimator

HIDDEN, CLASSES = 6, 3


class ReplicatedLinear(nn.Module):
    """A linear layer for each of R replicas; rows come in R equal groups, within each repeat of the batch.

    Shape: (K * R * N, inputs) -> (K * R * N, outputs), K repeats.
    """

    def __init__(self, weight: Tensor, bias: Tensor, replicas: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().expand(replicas, *weight.shape).clone())
        self.bias = nn.Parameter(bias.detach().expand(replicas, *bias.shape).clone())
        self.examples = 1

    def forward(self, x: Tensor) -> Tensor:
        rows = x.view(-1, len(self.weight), self.examples, x.shape[1])
        out = torch.einsum("krni,roi->krno", rows, self.weight) + self.bias[:, None]
        return out.flatten(0, 2)


class Replicated(nn.Module):
    """inputs -> bits (-> bits) -> tanh -> logits, replicated.

    Args:
        weights: (weight, bias) of each linear layer, as `small_net` gives them.
        replicas: how many copies.
        examples: how many examples each copy sees in a step.

    Shape: (K * R * N, inputs) -> logits (K * R * N, classes).
    """

    def __init__(self, weights: Sequence[tuple[Tensor, Tensor]], replicas: int, examples: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ReplicatedLinear(weight, bias, replicas) for weight, bias in weights)
        self.sites = nn.ModuleList(nn.Sigmoid() for _ in weights[:-2])
        self.set_examples(examples)

    @property
    def linears(self) -> list[ReplicatedLinear]:
        """The linear layers, in order."""
        return [layer for layer in self.layers if isinstance(layer, ReplicatedLinear)]

    def parameter_list(self) -> list[nn.Parameter]:
        """Weight and bias of each linear layer, (replicas, ...) each."""
        return [parameter for layer in self.linears for parameter in (layer.weight, layer.bias)]

    def set_examples(self, count: int) -> None:
        """How many examples each replica sees from now on."""
        for layer in self.linears:
            layer.examples = count

    def forward(self, x: Tensor) -> Tensor:
        for layer, site in zip(self.layers, self.sites, strict=False):
            x = site(layer(x))
        return self.layers[-1](torch.tanh(self.layers[-2](x)))

    def binarize(self, estimator: Estimator, surrogate: str, example: Tensor) -> Replicated:
        """Makes all sites binary, drawn, with one estimator."""
        names = [f"sites.{i}" for i in range(len(self.sites))]
        rows = example.repeat(len(self.linears[0].weight), 1)  # every replica sees it
        return binarize(self, names, estimator, sites=names, surrogate=surrogate, example=rows)


def small_net(units: Sequence[int], inputs: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Weights (outputs, inputs) and biases of each layer, float64, standard normal over sqrt(inputs) and 1/2 normal."""
    generator = torch.Generator().manual_seed(seed)
    widths = [inputs, *units, HIDDEN, CLASSES]
    weights = []
    for before, after in itertools.pairwise(widths):
        weight = torch.randn(after, before, generator=generator, dtype=torch.float64) / before**0.5
        weights.append((weight, 0.5 * torch.randn(after, generator=generator, dtype=torch.float64)))
    return weights


def examples(inputs: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs (count, inputs) and labels (count,), from the seed."""
    generator = torch.Generator().manual_seed(seed + 1)
    x = torch.randn(count, inputs, generator=generator, dtype=torch.float64)
    return x, torch.randint(CLASSES, (count,), generator=generator)


def exact_loss(net: Replicated, x: Tensor, y: Tensor) -> Tensor:
    """E[loss], differentiable: a finite sum over every configuration of all bits; one replica, mean over the examples.

    The bits have the probability with which the net's estimator draws them.
    """
    weight = x.new_full((len(x),), 1 / len(x))
    for layer, unit in zip(net.linears, binary_units(net), strict=False):
        layer.examples = len(x)
        p = firing_probability(unit, layer(x))
        bits = torch.tensor(list(itertools.product([0.0, 1.0], repeat=p.shape[1])), dtype=x.dtype)  # (2^u, u)
        chance = torch.where(bits.bool(), p[:, None], 1 - p[:, None]).prod(2)  # (rows, 2^u)
        weight = (weight[:, None] * chance).flatten()
        x = (bits * (1 - unit.low) + unit.low).repeat(len(x), 1)
        y = y.repeat_interleave(len(bits))
    for layer in net.linears[-2:]:
        layer.examples = len(x)
    return (weight * F.cross_entropy(net.layers[-1](torch.tanh(net.layers[-2](x))), y, reduction="none")).sum()


def exact_gradient(net: Replicated, x: Tensor, y: Tensor) -> list[Tensor]:
    """Gradient of `exact_loss`, one flat vector for each linear layer (weight, then bias)."""
    gradients = torch.autograd.grad(exact_loss(net, x, y), net.parameter_list())
    return [torch.cat([w.flatten(), b.flatten()]) for w, b in zip(gradients[::2], gradients[1::2], strict=True)]


def firing_probability(unit: BinaryActivation, x: Tensor) -> Tensor:
    """P(bit on) with which the unit's estimator draws in training, shape of x."""
    shifted, z = unit.pre_activation(x)
    return unit.estimator.firing_probability(Call(shifted, z, unit.surrogate, unit.low, True, None, unit.site))
