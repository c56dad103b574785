"""The sites of a net (the places where an activation leaves a layer), and the sites that a user's words mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from binlit.binary.layers import OUTPUT, WORDS, Layers, canonical, no_layer
from binlit.binary.unit import BinaryActivation
from binlit.errors import nearest

# GLU halves the channels, attention is a layer of its own, and what sums to 1 is a distribution
_NO_SITES = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmax2d, nn.Softmin, nn.GLU)
_ACTIVATIONS = tuple(
    kind
    for kind in vars(torch.nn.modules.activation).values()
    if isinstance(kind, type) and kind.__module__ == nn.ReLU.__module__ and kind not in _NO_SITES
)


def activation_sites(net: nn.Module) -> list[str]:
    """Names of the activation modules of `net` (ReLU, Hardtanh, binlit's own ...), in the order of definition.

    One activation object at two places of the net is two sites; a block at two places is one block, and what is in it
    one site, under its first name.
    """
    modules = dict(net.named_modules(remove_duplicate=False))
    # what a unit or a parametrization is made of: the real channels' activation, a learned baseline
    inner = tuple(f"{name}." for name, module in modules.items() if isinstance(module, _WHOLE))
    places: dict[tuple[int, str], str] = {}
    for name, module in modules.items():
        if name and is_activation(module) and not name.startswith(inner):
            places.setdefault(place(net, name), name)
    return list(places.values())


_WHOLE = (BinaryActivation, ParametrizationList)


def is_activation(module: nn.Module) -> bool:
    """Whether a unit takes the module's place: an activation of torch's, of a subclass, of binlit's, or a unit."""
    quantized = type(module).__module__.startswith("torch.ao.")  # subclasses that send out integers
    return isinstance(module, (BinaryActivation, *_ACTIVATIONS)) and not quantized  # binlit's HardSigmoid is a Hardtanh


def module_at(net: nn.Module, name: str) -> Any:
    """The module that `net` holds under that name (torch's get_submodule takes an attribute that hides it instead)."""
    parent, _, child = name.rpartition(".")
    return net.get_submodule(parent)._modules[child]


def place(net: nn.Module, name: str) -> tuple[int, str]:
    """What tells a place of `net` from others: the parent object, and the child's name in it."""
    parent, _, child = name.rpartition(".")
    return id(net.get_submodule(parent)), child


def layers_with_parameters(net: nn.Module) -> dict[str, nn.Module]:
    """Modules of `net` that hold parameters of their own, binary weights' latent ones among them."""
    modules = dict(net.named_modules())
    inner = tuple(f"{name}." for name, module in modules.items() if isinstance(module, _WHOLE))
    return {
        name: module
        for name, module in modules.items()
        if name
        and not isinstance(module, _WHOLE)
        and not name.startswith(inner)
        and (hasattr(module, "parametrizations") or any(True for _ in module.parameters(False)))
    }


def output_layer(net: nn.Module) -> str | None:
    """Name of the module defined last of those with parameters: a feed-forward net's classifier; None without any."""
    return next(reversed(layers_with_parameters(net)), None)


def ends_of_chain(net: nn.Module) -> list[str]:
    """Names of what ends a net that is a chain (Sequential in Sequential); none where order is not known."""
    names: list[str] = []
    module = net
    while isinstance(module, nn.Sequential) and len(module):
        last, module = list(module.named_children())[-1]
        names.append(f"{names[-1]}.{last}" if names else last)
    return names


def resolve_layers(
    layers: Layers, sites: Sequence[str], net: nn.Module, noun: str = "sites", output: str | None = None
) -> list[str]:
    """Names of the modules that `layers` means, each once (see `binarize`): sites in order, then others.

    Args:
        output: the module that `output` means; where not given the one defined last.
    """
    if no_layer(layers):
        return []
    modules = [name for name, _ in net.named_modules(remove_duplicate=False) if name]
    entries = [layers] if isinstance(layers, int | str) else list(layers or [])
    if not sites and (words := [entry for entry in entries if entry in WORDS and entry not in modules]):
        kind = "activation module" if noun == "sites" else "layer with a weight"
        cause = " (a function such as F.relu is none)" if noun == "sites" else ""
        raise ValueError(f"layers={words[0]!r} finds no {kind} in this net{cause}; name modules instead")
    found = canonical(layers, sites, modules)
    if not found:
        raise ValueError(f"layers={layers!r} leaves nothing: this net has {len(sites)} {noun}; give numbers, or 'all'")
    return list(dict.fromkeys(_named(layer, sites, net, modules, noun, output) for layer in found))


def _named(
    layer: int | str, sites: Sequence[str], net: nn.Module, modules: Sequence[str], noun: str, output: str | None
) -> str:
    """The module that one canonical entry means."""
    if isinstance(layer, int) and 1 <= layer <= len(sites):
        return sites[layer - 1]
    if layer in modules:
        return str(layer)
    if layer == OUTPUT:
        name = output or output_layer(net)
        if name is None:
            raise ValueError("layers='output': the net has no layer with parameters, so it has no output layer")
        return name
    near = nearest(str(layer), modules)
    hint = f"; nearest module: {near}" if near else ""
    raise ValueError(
        f"layer {layer!r} does not exist: this net has {len(sites)} {noun} "
        f"({', '.join(f'{i}={s}' for i, s in enumerate(sites, 1))}), or give 'all', 'output' or a module's "
        f"name{hint}"
    )
