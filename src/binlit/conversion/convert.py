"""A trained net -> its packed layers. Refuses, by name, what bits cannot follow exactly."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from binlit.binary import BinaryActivation, binary_weights
from binlit.conversion.chain import ConversionError, chain
from binlit.conversion.fold import Real, scale_and_shift, thresholds
from binlit.runtime.bits import pack
from binlit.runtime.geometry import tap_patterns
from binlit.runtime.packed_file import Layer, PackedNet, Pool

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
SKIPPED = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)


def convert(net: nn.Module, shape: tuple[int, int, int], mean: float, std: float) -> PackedNet:
    """The packed net whose bits are those of `net` in evaluation mode and float64.

    Args:
        net: a chain of layers with binary weights (±1, or ± one magnitude a channel) and binary activations between
            them; left as it was.
        shape: (C, H, W) of the images.
        mean, std: of the normalisation that the net was trained with: x = (pixel / 255 - mean) / std.

    Raises:
        ConversionError: the net is no such chain, or draws at test time.
    """
    exact = copy.deepcopy(net).cpu().double().eval()
    for name, tensor in (*exact.named_parameters(), *exact.named_buffers()):
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ConversionError(f"{name!r} is not finite: the training has diverged; export an earlier checkpoint")
    units = binary_weights(exact)
    walk = _Walk(shape, mean, std, {name: unit.evaluation for name, unit in units.items()})
    with torch.no_grad():
        for link in chain(exact):
            walk.take(link.name, link.module)
        walk.finish()
    return PackedNet(shape, mean, std, tuple(walk.layers))


@dataclass
class _Open:
    """A layer whose bits have not been made yet."""

    layer: Layer
    signs: Tensor  # (O, K), in the file's order
    real: Real
    scale: Tensor
    bias: Tensor
    after: list[nn.Module] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)


class _Walk:
    """Takes the modules one by one.

    Attributes:
        layers: done so far.
        shape: of what comes out of the last module, for one image.
        levels: what the next layer reads.
        spread: (C, H, W) where a flattening is to be undone in the weights of the linear layer after it.
    """

    def __init__(self, shape: tuple[int, int, int], mean: float, std: float, evaluations: dict[str, str]) -> None:
        self.shape: tuple[int, ...] = shape
        self.mean, self.std, self.evaluations = mean, std, evaluations
        self.layers: list[Layer] = []
        self.levels = "pixels"
        self.spread: tuple[int, ...] | None = None
        self.open: _Open | None = None

    def take(self, name: str, module: Any) -> None:
        if isinstance(module, SKIPPED):
            return
        if module is None or isinstance(module, nn.Flatten):
            self._flatten(name, module)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            self._weights(name, module)
        elif isinstance(module, NORMS):
            self._norm(name, module)
        elif isinstance(module, nn.MaxPool2d):
            self._pool(name, module)
        elif isinstance(module, BinaryActivation):
            self._bits(name, module)
        else:
            remedy = "make every activation binary (binary=bnn) " if _activation(module) else ""
            kind = type(module).__name__.removeprefix("Parametrized")
            raise ConversionError(f"layer {name!r} is a {kind}, whose values are real: {remedy or 'leave it out'}")

    def finish(self) -> None:
        """Closes the last layer."""
        last = self.open
        if last is None:
            raise ConversionError(
                "the net ends in bits or has no layer: it must end in a linear layer with real scores"
            )
        if last.layer.kind != "linear":
            raise ConversionError(f"layer {last.layer.name!r} is the last one and no linear layer: end in nn.Linear")
        scale, shift = scale_and_shift(last.scale, last.bias, last.after)
        done = replace(last.layer, scale=scale.numpy().copy(), shift=shift.numpy().copy())
        self.layers.append(done)

    def _flatten(self, name: str, module: Any) -> None:
        if module is not None and (module.start_dim, module.end_dim) != (1, -1):
            raise ConversionError(f"layer {name!r} flattens dimensions other than all of an image: use nn.Flatten()")
        if len(self.shape) == 1:
            return
        if self.open is not None:
            raise ConversionError(f"layer {name!r} flattens real values: put the binary activation in front of it")
        self.spread = self.shape if self.layers else None
        self.shape = (math.prod(self.shape),)

    def _weights(self, name: str, module: Any) -> None:
        if self.open is not None:
            raise ConversionError(
                f"layer {name!r} reads the real values of {self.open.layer.name!r}: put a binary activation between"
            )
        magnitude, signs = self._signs(name, module)
        conv = isinstance(module, nn.Conv2d)
        layer = Layer(name, "conv2d" if conv else "linear", self.levels, self.shape, len(signs))
        if conv:
            if module.groups != 1 or module.dilation != (1, 1) or module.padding_mode != "zeros":
                raise ConversionError(f"layer {name!r} has groups, dilation or padding other than zeros: use none")
            if isinstance(module.padding, str):
                raise ConversionError(f"layer {name!r} has padding={module.padding!r}: give it as a number")
            if len(self.shape) != 3 or self.shape[0] != module.in_channels:
                raise ConversionError(f"layer {name!r} reads {module.in_channels} channels, not {self.shape}")
            window = {"kernel": module.kernel_size, "stride": module.stride, "padding": module.padding}
            layer = replace(layer, **window)
            signs = signs.permute(0, 2, 3, 1)
            if min(layer.size) < 1:
                raise ConversionError(f"layer {name!r} has windows larger than its input {self.shape}")
        elif self.shape != (module.in_features,):
            raise ConversionError(f"layer {name!r} reads {module.in_features} values, not {self.shape}: flatten first")
        elif self.spread is not None:
            signs = signs.reshape(-1, *self.spread).permute(0, 2, 3, 1)  # trained on (C, H, W), packed as (H, W, C)
        bias = torch.zeros(len(signs), dtype=torch.float64) if module.bias is None else module.bias
        layer = replace(layer, weight=pack((signs.flatten(1) > 0).numpy()))
        flat = signs.flatten(1)
        self.open = self._opened(layer, flat, magnitude, bias)
        self.shape, self.spread = (layer.outputs, *layer.size) if conv else (layer.outputs,), None

    def _opened(self, layer: Layer, signs: Tensor, magnitude: Tensor, bias: Tensor) -> _Open:
        if layer.levels != "pixels":
            return _Open(layer, signs, lambda sums: sums * magnitude + bias, magnitude, bias)
        inside = signs.sum(1)[None]  # sum of w over the taps inside of the image, one row for each pattern of them
        if layer.kind == "conv2d":
            masks, _ = tap_patterns((layer.shape[1], layer.shape[2]), layer.kernel, layer.stride, layer.padding)
            inside = torch.from_numpy(masks).double() @ signs.reshape(len(signs), masks.shape[1], -1).sum(-1).T
        mean, std = self.mean, self.std

        def real(sums: Tensor) -> Tensor:
            # sum of w (p / 255 - mean) / std, the outside being 0 after the normalisation
            return (sums / 255 - mean * inside) / std * magnitude + bias

        return _Open(layer, signs, real, magnitude / (255 * std), bias - magnitude * mean * inside[0] / std)

    def _signs(self, name: str, module: Any) -> tuple[Tensor, Tensor]:
        """Magnitude (O,) and signs, shape of the weight."""
        evaluation = self.evaluations.get(name, "threshold")
        if evaluation == "latent":
            raise ConversionError(
                f"layer {name!r} is tested with its real latent weights: weight.eval=threshold tests it with bits"
            )
        if evaluation != "threshold":
            raise ConversionError(f"layer {name!r} draws its weights at test time: use weight.eval=threshold")
        weight: Tensor = module.weight.detach()
        size = weight.flatten(1).abs()
        if name not in self.evaluations and not bool(((size == size[:, :1]) & (size > 0)).all()):
            raise ConversionError(f"layer {name!r} has real weights: train it with binary ones (binary=bnn)")
        if not bool((size > 0).all()):
            raise ConversionError(f"layer {name!r} has a channel whose magnitude is 0: it carries nothing; retrain it")
        return size[:, 0].clone(), weight.sign()

    def _norm(self, name: str, module: Any) -> None:
        if self.open is None:
            raise ConversionError(f"layer {name!r} makes real values of a net's input or of bits: put it after a layer")
        if module.running_mean is None or module.running_var is None:
            raise ConversionError(f"layer {name!r} keeps no running statistics: use track_running_stats=True")
        if isinstance(module, nn.BatchNorm2d) != (self.open.layer.kind == "conv2d"):
            raise ConversionError(f"layer {name!r} is a {type(module).__name__} after a {self.open.layer.kind}")
        if any(not pool.before_norm for pool in self.open.pools):
            raise ConversionError(f"layer {name!r} comes after BatchNorm and pooling: use one BatchNorm a layer")
        self.open.after.append(module)

    def _pool(self, name: str, module: Any) -> None:
        if len(self.shape) != 3 or not (self.open or self.layers):
            raise ConversionError(f"layer {name!r} pools pixels or flat values: put it after a convolution")
        if _pair(module.dilation) != (1, 1) or module.ceil_mode or module.return_indices:
            raise ConversionError(f"layer {name!r} pools with dilation, ceil_mode or indices: use none")
        window = (_pair(module.kernel_size), _pair(module.stride), _pair(module.padding))
        pool = Pool(*window, before_norm=self.open is not None and not self.open.after)
        if self.open is not None:
            self.open.pools.append(pool)
            size = replace(self.open.layer, pools=tuple(self.open.pools)).pooled
        else:
            self.layers[-1] = replace(self.layers[-1], pools=(*self.layers[-1].pools, pool))
            size = self.layers[-1].pooled
        if min(size) < 1:
            raise ConversionError(f"layer {name!r} has windows larger than its input {self.shape}")
        self.shape = (self.shape[0], *size)

    def _bits(self, name: str, unit: BinaryActivation) -> None:
        done = self.open
        if done is None:
            raise ConversionError(f"layer {name!r} makes bits of pixels or of bits: put it after a layer with weights")
        if unit.draws_in_evaluation:
            raise ConversionError(f"layer {name!r} draws its bits at test time: use binary.eval=threshold")
        if unit.share != 1:
            raise ConversionError(
                f"layer {name!r} leaves {1 - unit.share:.0%} of its channels real: use binary.share=1"
            )
        if not unit.slope > 0:
            raise ConversionError(f"layer {name!r} has slope {unit.slope:g}: a slope above 0 keeps the sign")
        layer = done.layer
        bound = layer.inputs * (255 if layer.levels == "pixels" else 1)
        if bound * 255 >= 1 << 31:
            raise ConversionError(
                f"layer {layer.name!r} sums {layer.inputs} inputs, which can exceed 32 bits: use fewer"
            )
        shape = (layer.patterns, layer.outputs)
        conv = layer.kind == "conv2d"
        threshold, flip = thresholds(done.real, done.after, unit, bound, shape, conv)
        self.layers.append(replace(layer, threshold=threshold, flip=flip, pools=tuple(done.pools)))
        self.levels = "pm1" if unit.low == -1 else "01"
        self.open = None


def described(layer: Layer) -> str:
    """What a layer became, in words."""
    reads = {"pixels": "pixels", "pm1": "bits -1, +1", "01": "bits 0, 1"}[layer.levels]
    parts = [f"{layer.outputs} x {layer.inputs} bits on {reads}"]
    if layer.threshold is not None and layer.flip is not None:
        parts.append(f"{layer.threshold.size} integer thresholds, {np.count_nonzero(layer.flip)} channels that fall")
        parts += [f"pooling {p.kernel[0]}x{p.kernel[1]} of bits" for p in layer.pools]
    else:
        parts.append("real scores by a scale and a shift")
    return "; ".join(parts)


def _activation(module: nn.Module) -> bool:
    return isinstance(module, nn.Hardtanh | nn.ReLU) or type(module).__module__ == nn.ReLU.__module__


def _pair(value: Any) -> tuple[int, int]:
    a, b = (value, value) if isinstance(value, int) else value
    return a, b
