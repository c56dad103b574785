"""Packed nets against the same nets in torch's float64: layer by layer at random, and whole."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import binlit
from binlit.conversion import convert
from binlit.model import BnnConvNet, Mlp, MnistCnn
from binlit.runtime import PackedModel, load, native
from binlit.runtime.bits import unpack
from binlit.runtime.packed_file import save

LAYERS = 10_000


def unsettled(net: Any, draw: torch.Generator | None = None) -> Any:
    """`net` in evaluation mode with BatchNorm statistics and gains of both signs, some of them 0."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            with torch.no_grad():
                module.running_mean.normal_(0, 4, generator=draw)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 30, generator=draw)  # type: ignore[union-attr]
                module.weight.normal_(generator=draw)
                module.weight[torch.rand(module.weight.shape, generator=draw) < 0.1] = 0
                module.bias.normal_(generator=draw)
    return net.eval()


def binary(net: Any, levels: str, scale: str = "none", **settings: Any) -> Any:
    binlit.binarize(net, "all", "st_clipped", mode="deterministic", levels=levels, **settings)
    return binlit.binarize_weights(net, "all", scale=scale)


def normalised(images: np.ndarray, mean: float, std: float) -> torch.Tensor:
    return (torch.from_numpy(images).double() / 255 - mean) / std


def read_by_layers(net: Any, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """One pass: what each layer with weights reads, the last one's sums of bits and signs, the scores."""
    layers = [module for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    seen: list[torch.Tensor] = []
    handles = [layer.register_forward_pre_hook(lambda _, args: seen.append(args[0])) for layer in layers]
    with torch.no_grad():
        scores = net(x)
        sums = seen[-1] @ layers[-1].weight.sign().T
    for handle in handles:
        handle.remove()
    return seen, sums, scores


def bits_by_layers(model: PackedModel, images: np.ndarray) -> list[np.ndarray]:
    """What each layer of a packed net but the first reads: (N, C) or (N, C, H, W) of 0 and 1."""
    read, x = [], images
    for stage in model._stages[:-1]:
        x = stage(x)
        values = unpack(x, stage.layer.outputs)
        read.append(values.transpose(0, 3, 1, 2) if values.ndim == 4 else values)
    return read


KERNELS: list[dict[str, Any]] = [{"kernel": "numpy"}, {"kernel": "numpy", "first_layer": "planes"}]
try:
    native.library()
    KERNELS += [{"kernel": "native"}, {"kernel": "native", "first_layer": "planes", "threads": 2}]
except native.NativeError:
    pass


def small_net(rng: random.Random, exact: bool) -> tuple[nn.Module, tuple[int, int, int]]:
    """Two to nine layers of any shape, in the orders that can be packed.

    Args:
        exact: whether sums of inner layers have no rounding in float64 (signs without a magnitude). Elsewhere a bias or
            BatchNorm keeps sums off the threshold: at s = 0 the packed bit is that of the real number 0, and torch's
            that of a rounding error.
    """
    shape = (rng.randint(1, 4), rng.randint(1, 9), rng.randint(1, 9))
    modules: list[nn.Module] = []
    size, channels = shape[1:], shape[0]
    for _ in range(rng.randint(0, 3)):
        kernel = tuple(rng.randint(1, 3) for _ in size)
        padding = tuple(rng.randint(0, 2) for _ in size)
        stride = tuple(rng.randint(1, 3) for _ in size)
        if any(s + 2 * p < k for s, p, k in zip(size, padding, kernel, strict=True)):
            continue
        out = rng.choice((1, 2, 5, 63, 64, 65)) if rng.random() < 0.2 else rng.randint(1, 9)
        norm = rng.random() < 0.85
        bias = rng.random() < 0.5 or not (norm or (exact and modules))
        modules.append(nn.Conv2d(channels, out, kernel, stride, padding, bias=bias))  # type: ignore[arg-type]
        size = tuple((s + 2 * p - k) // t + 1 for s, p, k, t in zip(size, padding, kernel, stride, strict=True))
        channels, rest = out, [nn.BatchNorm2d(out)] if norm else []
        rest.append(nn.Hardtanh())  # type: ignore[arg-type]
        if min(size) >= 2 and rng.random() < 0.6:
            padded, step = int(rng.random() < 0.3), rng.randint(1, 2)
            pool = nn.MaxPool2d(2, step, padded)
            rest.insert(rng.randint(0, len(rest)), pool)  # type: ignore[arg-type]
            size = tuple((s + 2 * padded - 2) // step + 1 for s in size)
        modules += rest
    modules.append(nn.Flatten())
    width = channels * size[0] * size[1]
    for _ in range(rng.randint(0 if len(modules) > 1 else 1, 5)):  # at least one hidden layer
        out = rng.choice((1, 63, 64, 65, 130)) if rng.random() < 0.2 else rng.randint(1, 12)
        norm = rng.random() < 0.85
        bias = rng.random() < 0.5 or not (norm or (exact and len(modules) > 1))
        modules += [nn.Linear(width, out, bias=bias), *([nn.BatchNorm1d(out)] if norm else [])]
        modules.append(nn.Hardtanh())
        width = out
    modules.append(nn.Linear(width, 7))
    if rng.random() < 0.5:
        modules.append(nn.BatchNorm1d(7))
    return nn.Sequential(*modules), shape


# narrow random layers after a ReLU: bits may all be on
@pytest.mark.filterwarnings("ignore::binlit.binary.reach.ConstantSiteWarning")
@pytest.mark.parametrize("part", range(4))
def test_ten_thousand_random_layers_give_the_nets_integers(part):
    """Shapes, strides, padding, pooling before and after BatchNorm, gains of both signs and 0, ±1 and 01, magnitudes.

    The standard is the net in float64; where float32 gives other integers is counted, and printed.
    """
    torch.manual_seed(part)
    rng, layers, differing, images_seen = random.Random(part), 0, 0, 0
    while layers < LAYERS // 4:
        scale, threshold = rng.choice(("none", "none", "xnor", "learned")), rng.choice((0.0, 0.3, -1.0))
        net, shape = small_net(rng, exact=scale == "none")
        net = unsettled(binary(net, rng.choice(("pm1", "01")), scale, threshold=threshold))
        mean, std = rng.choice(((0.1307, 0.3081), (0.5, 0.5), (0.0, 1.0)))
        images = np.random.default_rng(layers).integers(0, 256, (3, *shape), np.uint8)
        packed = convert(net, shape, mean, std)
        x = normalised(images, mean, std)
        _, narrow, _ = read_by_layers(net, x.float())
        read, wide, scores = read_by_layers(net.double(), x)
        model = PackedModel(packed, **rng.choice(KERNELS))
        for found, expected in zip(bits_by_layers(model, images), read[1:], strict=True):
            assert np.array_equal(found.reshape(expected.shape), expected.numpy() > 0), (net, shape)
        assert np.array_equal(model.integers(images), wide.numpy()), (net, shape)
        np.testing.assert_allclose(model.scores(images), scores.numpy(), atol=1e-9, rtol=1e-9)
        differing += int((narrow != wide).any(-1).sum())
        images_seen += len(images)
        layers += len(packed.layers)
    print(f"{layers} layers, {images_seen} images; in float32 {differing} of them have other integers")


NETS: list[tuple[Any, tuple[int, int, int], float, float]] = [
    (lambda: Mlp(784, (100, 130), norm="all", activation="hard_tanh"), (1, 28, 28), 0.1307, 0.3081),
    (lambda: Mlp(784, (100, 70), dropout=0.5, input_dropout=0.2), (1, 28, 28), 0.1307, 0.3081),
    (lambda: MnistCnn(), (1, 28, 28), 0.1307, 0.3081),
    (lambda: BnnConvNet(width=8, hidden=40), (3, 32, 32), 0.5, 0.5),
    (lambda: BnnConvNet(width=8, hidden=40, channels=1, image_size=28), (1, 28, 28), 0.1307, 0.3081),
]


@pytest.mark.parametrize("levels", ["pm1", "01"])
@pytest.mark.parametrize("scale", ["none", "xnor"])
@pytest.mark.parametrize("number", range(len(NETS)), ids=["mlp", "mlp_bias", "cnn", "convnet", "convnet28"])
def test_whole_nets(tmp_path, number, scale, levels):
    torch.manual_seed(number)
    make, shape, mean, std = NETS[number]
    net = unsettled(binary(make(), levels, scale))
    path = tmp_path / "net.binlit"
    save(convert(net, shape, mean, std), path)
    images = np.random.default_rng(0).integers(0, 256, (9, *shape), np.uint8)
    x = normalised(images, mean, std)
    _, sums, logits = read_by_layers(net.double(), x)
    integers, scores = sums.numpy(), logits.numpy()
    for how in KERNELS:
        model = load(path, **how)
        assert model.kernel == how["kernel"]
        assert np.array_equal(model.integers(images), integers)
        np.testing.assert_allclose(model.scores(images), scores, atol=1e-9)
        assert np.array_equal(model.predict(images), scores.argmax(-1))


def test_many_images_go_through_in_parts(monkeypatch):
    from binlit.runtime import model as module

    make, shape, mean, std = NETS[2]
    packed = convert(unsettled(binary(make(), "pm1")), shape, mean, std)
    images = np.random.default_rng(0).integers(0, 256, (11, *shape), np.uint8)
    whole = PackedModel(packed, "numpy").integers(images)
    monkeypatch.setattr(module, "_MEMORY", 300_000)
    parted = PackedModel(packed, "numpy")
    assert parted._rows < 11
    assert np.array_equal(parted.integers(images), whole)


def test_auto_without_a_compiler_says_so(monkeypatch, tmp_path):
    from binlit.runtime.model import NumpyKernelWarning

    make, shape, mean, std = NETS[1]
    packed = convert(unsettled(binary(make(), "pm1")), shape, mean, std)
    monkeypatch.setenv("BINLIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    native.library.cache_clear()
    try:
        with pytest.warns(NumpyKernelWarning, match="numpy computes, for no C compiler"):
            assert PackedModel(packed).kernel == "numpy"
        with pytest.raises(native.NativeError, match="install a C compiler"):
            PackedModel(packed, "native")
    finally:
        native.library.cache_clear()


def test_a_tie_is_on_and_the_threshold_is_the_first_integer_there():
    """bn(s) = s - 3: the bit is on from 3; with the gain -1 it is on up to 3; with the gain 0 and bias 0 always."""
    net: Any = nn.Sequential(
        nn.Flatten(), nn.Linear(9, 3, False), nn.BatchNorm1d(3, 0.0), nn.Hardtanh(), nn.Linear(3, 2)
    )
    net = binary(net, "pm1").eval()
    with torch.no_grad():
        net[2].running_mean.fill_(3)
        net[2].weight.copy_(torch.tensor([1.0, -1.0, 0.0]))
    layer: Any = convert(net, (1, 3, 3), 0.0, 1 / 255).layers[0]  # x = the pixel itself
    bound = 9 * 255
    assert layer.threshold.tolist() == [[3, 3, -bound]]
    assert layer.flip.tolist() == [0, 1, 0]
