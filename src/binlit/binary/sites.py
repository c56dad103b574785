"""The sites of a net, places where an activation leaves a layer: which there are, and which a user's words mean."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from torch import nn

from binlit.binary.unit import BinaryActivation

OUTPUT = "output"  # the site behind the classifier: possible, never part of "all", and warned of


def activation_sites(net: nn.Module) -> list[str]:
    """Names of the activation modules of `net` (ReLU, Hardtanh, binlit's own ...), in the order of definition."""
    skipped = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmax2d, nn.Softmin)
    modules = dict(net.named_modules(remove_duplicate=False))  # one module at two places is two sites
    return [
        name
        for name, module in modules.items()
        if (
            isinstance(module, nn.Hardtanh | BinaryActivation)  # binlit's HardSigmoid is a Hardtanh
            or (type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, skipped))
        )
        and not isinstance(modules.get(name.rpartition(".")[0]), BinaryActivation)  # the activation of a mixed site
    ]


def output_layer(net: nn.Module) -> str:
    """Name of the last module that holds parameters of its own: the classifier of a feed-forward net."""
    names = [name for name, module in net.named_modules() if name and any(True for _ in module.parameters(False))]
    if not names:
        raise ValueError("the net has no layer with parameters, so it has no output layer to make binary")
    return names[-1]


def end_of_chain(net: nn.Module) -> str | None:
    """Name of the last module of a net that is a chain (Sequential in Sequential); None where order is not known."""
    name, module = "", net
    while isinstance(module, nn.Sequential) and len(module):
        last, module = list(module.named_children())[-1]
        name = f"{name}.{last}" if name else last
    return name or None


def resolve_layers(
    layers: int | str | Sequence[int | str] | None, sites: Sequence[str], net: nn.Module, noun: str = "sites"
) -> list[str]:
    """Names of the modules that `layers` means, in the order given, without repeats (see `binarize`)."""
    if layers is None or layers == "none":
        return []
    if layers == "all":
        if not sites:
            kind = "activation module" if noun == "sites" else "layer with a weight"
            raise ValueError(f"layers='all' finds no {kind} in this net; name modules instead")
        return list(sites)
    if layers == "inner":
        if len(sites) < 3:
            raise ValueError(f"layers='inner' leaves nothing: this net has {len(sites)} {noun}; give numbers, or 'all'")
        return list(sites[1:-1])
    wanted = [layers] if isinstance(layers, int | str) else list(layers)
    modules = [name for name, _ in net.named_modules() if name]
    ends = {"first": 1, "last": len(sites)}
    names: list[str] = []
    for layer in wanted:
        number = ends.get(layer, layer) if isinstance(layer, str) else layer
        if isinstance(number, str) and number.isdigit() and number not in modules:
            number = int(number)
        if isinstance(number, int) and 1 <= number <= len(sites):
            name = sites[number - 1]
        elif number == OUTPUT:
            name = output_layer(net)
        elif isinstance(number, str) and number in modules:
            name = number
        else:
            near = difflib.get_close_matches(str(layer), modules, 1)
            hint = f"; nearest module: {near[0]}" if near else ""
            raise ValueError(
                f"layer {layer!r} does not exist: this net has {len(sites)} {noun} "
                f"({', '.join(f'{i}={s}' for i, s in enumerate(sites, 1))}), or give 'all', 'output' or a module's "
                f"name{hint}"
            )
        if name not in names:
            names.append(name)
    return names
