"""A net as a chain of modules, in the order in which data passes; what is no chain is refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from binlit.binary import BinaryActivation
from binlit.binary.place import binarize_output


class ConversionError(ValueError):
    """A net cannot be packed; the message has the layer, the reason, and what to do."""


@dataclass(frozen=True)
class Link:
    """One module of the chain; None where the net flattens by a function."""

    name: str
    module: nn.Module | None


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, nn.Sequential):
            return False
        # layers without parts, and parametrized ones, whose class stands outside of torch.nn
        whole = isinstance(m, BinaryActivation | nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) or not [*m.children()]
        return whole or super().is_leaf_module(m, module_qualified_name)


def chain(net: nn.Module) -> list[Link]:
    """The modules of `net`, one after the other.

    Raises:
        ConversionError: data does not pass in a chain, or something is done to it that is no module.
    """
    if isinstance(net, BinaryActivation) or not list(net.children()):
        net = nn.Sequential(net)
    try:
        graph = _Tracer().trace(net)
    except Exception as error:  # whatever a net's own code makes of symbols in the place of data
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConversionError(f"the net is no chain of layers that can be followed ({reason}): {_CHAINS}") from error
    links: list[Link] = []
    before: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder":
            if before is not None:
                raise ConversionError(f"the net reads more than images ({node.name}): {_CHAINS}")
        elif node.op == "output":
            if node.all_input_nodes != [before] or node.args[0] is not before:
                raise ConversionError(f"the net returns more than one layer's values: {_CHAINS}")
        else:
            name = str(node.target) if node.op == "call_module" else node.name
            if node.all_input_nodes != [before]:
                raise ConversionError(f"layer {name!r} joins or splits paths (a residual addition, say): {_CHAINS}")
            links += _links(node, net, name)
        before = node
    return links


def _links(node: Any, net: nn.Module, name: str) -> list[Link]:
    if node.op == "call_module":
        module: Any = net.get_submodule(name)
        return [Link(name, module), *_hooked(name, module)]
    flattens = (node.op == "call_function" and node.target is torch.flatten) or (
        node.op == "call_method" and node.target == "flatten"
    )
    if flattens and isinstance(node.args[0], fx.Node) and [*node.args[1:], *node.kwargs.values()] in ([1], [1, -1]):
        return [Link(name, None)]
    what = getattr(node.target, "__name__", node.target)
    raise ConversionError(f"{name!r} is {what}(), which bits cannot follow: {_CHAINS}")


def _hooked(name: str, module: Any) -> list[Link]:
    """The binary unit after a module that `binarize` placed by a hook, which tracing does not see."""
    hooks = [*module._forward_hooks.values()]
    if module._forward_pre_hooks or any(hook is not binarize_output for hook in hooks):
        raise ConversionError(f"layer {name!r} has hooks that change what it does: remove them before packing")
    return [Link(f"{name}.binary", module.binary)] if hooks else []


_CHAINS = (
    "only chains of linear layers, convolutions, BatchNorm, max pooling, flattening, dropout and binary activations "
    "can be packed, such as model=bnn_mlp or model=bnn_convnet with binary=bnn"
)
