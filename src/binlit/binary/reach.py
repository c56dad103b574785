"""A placed unit must be reached: impossible places are refused, and the first pass warns of the units that it missed.

What a module does in its forward pass is not known in advance. So the first pass through the whole net is watched, in
whatever mode, and no later one. binlit warns once of each unit that it does not reach.
"""

from __future__ import annotations

from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from binlit.binary.unit import BinaryActivation, followed, site_that_sent


class SiteWarning(UserWarning):
    """A binary unit does not do what one would expect."""


class OutputSiteWarning(SiteWarning):
    """A binary unit sits on the classifier's output."""


class ConstantSiteWarning(SiteWarning):
    """All bits that a unit sent out in the first pass were on."""


class UnreachedSiteWarning(SiteWarning):
    """The first pass through a net did not reach a binary unit."""


_PAIRS = (nn.RNNBase, nn.LSTMCell, nn.MultiheadAttention, nn.AdaptiveLogSoftmaxWithLoss)


def refuse_unreachable(net: nn.Module, name: str) -> None:
    """ValueError where no unit can act once for each call of the module `name`; the message has what to name instead.

    Containers without a pass of their own, parts that are read and not called, outputs that are no tensor.
    """
    every, parts = dict(net.named_modules(remove_duplicate=False)), name.split(".")
    if name not in every:
        raise ValueError(f"site {name!r} does not exist: the net has no such module; give sites=[...] that it has")
    modules = [every[".".join(parts[:depth])] for depth in range(len(parts) + 1)]
    *above, parent, module = modules
    kind = type(module).__name__
    if any(isinstance(one, torch.jit.ScriptModule) for one in modules):
        reason = "is compiled by TorchScript, which runs no Python unit: place units before, and use torch.jit.trace"
    elif any(isinstance(one, BinaryActivation | ParametrizationList) for one in [*above, parent]) or isinstance(
        module, ParametrizationList
    ):
        reason = "is a part of a binary unit or of what makes a weight: name the layer that it belongs to"
    elif isinstance(module, BinaryActivation):
        return
    elif isinstance(parent, nn.MultiheadAttention):
        reason = "is never called: attention reads its weight. Name the layer behind the attention"
    elif isinstance(_last(module), _PAIRS) or getattr(_last(module), "return_indices", False):
        reason = "sends out more than one tensor, and a unit takes one: name the layer that reads its output"
    elif type(module).forward is nn.Module.forward and "forward" not in vars(module):
        children = ", ".join([f"{name}.{child}" for child, _ in module.named_children()][:4])
        reason = f"is never called, its parts are: name these ({children})"
    elif isinstance(module, nn.ModuleList | nn.ModuleDict):
        reason = "goes through its parts, and would take the unit for one of them: name the layer that reads its output"
    elif not isinstance(getattr(module, "binary", None), BinaryActivation | None):
        reason = "has something called 'binary' already, the name that the unit would have: rename that"
    else:
        return
    raise ValueError(f"layer {name!r} ({kind}) {reason}")


def _last(module: nn.Module) -> nn.Module:
    """The module whose output a chain sends out."""
    while isinstance(module, nn.Sequential) and len(module):
        module = module[-1]
    return module


def refuse_partly_shared(net: nn.Module, names: list[str]) -> None:
    """ValueError where a unit after one of `names` would also act at a place that is not named, the same module's."""
    from binlit.binary.sites import is_activation, module_at, place

    every = list(net.named_modules(remove_duplicate=False))
    named = {place(net, name) for name in names}
    for name in names:
        module = module_at(net, name)
        if is_activation(module):  # is replaced where it is named, and nowhere else
            continue
        others = [other for other, one in every if one is module and place(net, other) not in named]
        if others:
            raise ValueError(
                f"layer {name!r} is one module with {', '.join(map(repr, others))}, and a unit behind it would act "
                "there as well: name all of them, or make them modules of their own"
            )


def hold_to_modules(net: nn.Module, name: str) -> None:
    """Makes torch's transformer layers above `name` call their modules in evaluation mode too, also in copies.

    The kernels that they choose in evaluation mode compute a whole layer from its weights, and call neither its
    activation nor its hooks.
    """
    module = net
    for part in ["", *name.split(".")]:
        module = module.get_submodule(part)
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0  # "neither": torch's own switch
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # made for these kernels; a unit takes plain tensors
        if isinstance(module, nn.TransformerDecoderLayer) and "activation" in module._modules:
            vars(module)["activation"] = module._modules["activation"]  # a copy that misses it there takes F.relu


def watch_first_pass(net: nn.Module) -> None:
    """Makes the next pass through `net` report which of its new units it did not reach."""
    if end_first_pass not in net._forward_hooks.values():
        net.register_forward_hook(end_first_pass)


def end_first_pass(module: nn.Module, args: Any, output: Any) -> None:
    """Forward hook of a net with new units (a function: copies and pickles of the net keep it). Takes itself away.

    Warns:
        UnreachedSiteWarning: there are units that the pass has not reached.
        ConstantSiteWarning: 64 bits of a unit or more, and each is on.
        OutputSiteWarning: a unit's bits are what the net sends out.
    """
    if followed():
        return
    for key, hook in list(module._forward_hooks.items()):
        if hook is end_first_pass:
            del module._forward_hooks[key]
    units = [unit for unit in module.modules() if isinstance(unit, BinaryActivation)]
    compiled = [one for one in module.modules() if hasattr(one, "_orig_mod") or one._compiled_call_impl is not None]
    unknown = {id(part) for one in compiled for part in one.modules()}  # compiled code counts no calls
    unreached = [f"'{unit.site}'" for unit in units if unit.first_calls == 0 and id(unit) not in unknown]
    constant = [f"'{unit.site}'" for unit in units if unit.first_calls and unit.first_all_on]
    sent = site_that_sent(output) if isinstance(output, Tensor) else None
    getattr(output, "__dict__", {}).pop("binary_site", None)
    ends = [unit for unit in units if unit.first_calls is not None and unit.site == sent and not unit.is_output]
    for unit in units:
        unit.first_calls = None
    for unit in ends:
        warn(output_warning(unit.site), OutputSiteWarning, stacklevel=2)
    if constant:
        warn(
            f"in the first pass all bits of {', '.join(constant)} were on: what sends out nothing below the threshold, "
            "such as a block that ends in a ReLU, makes no bits that carry anything. Give a threshold above 0, or name "
            "the module in front of the ReLU",
            ConstantSiteWarning,
            stacklevel=2,
        )
    if unreached:
        mode = "training" if module.training else "evaluation"
        warn(
            f"the first pass (in {mode} mode) did not reach the binary unit at {', '.join(unreached)}: a module that "
            "is not called, or whose weight is read without a call, makes nothing binary. Name another module, unless "
            "it is one that a later pass calls",
            UnreachedSiteWarning,
            stacklevel=2,
        )


def output_warning(name: str, known: bool = True) -> str:
    """Why a binary classifier output trains badly, naming the site; `known` where the order of calls was seen."""
    guess = "" if known else " (by the order of definition; example=x finds the order of calls)"
    return (
        f"binary site '{name}' is the classifier's output{guess}: each logit can take two values only, so classes tie, "
        "the loss cannot fall below that of two-valued logits, and saturated logits send no gradient back. Leave the "
        "output real, or expect accuracy near chance"
    )
