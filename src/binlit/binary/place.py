"""Placing binary units into a finished net.

Where the named module is an activation, the unit takes its place; behind any other module the unit binarizes that
module's output.
"""

from __future__ import annotations

import contextlib
import difflib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from binlit.binary.sites import activation_sites, end_of_chain, output_layer, resolve_layers
from binlit.binary.unit import BinaryActivation
from binlit.estimator import ESTIMATORS, Estimator

Net = TypeVar("Net", bound=nn.Module)


class OutputSiteWarning(UserWarning):
    """A binary unit sits on the classifier's output."""


def binarize(
    net: Net,
    layers: int | str | Sequence[int | str] | None = "all",
    estimator: str | Estimator = "st",
    *,
    sites: Sequence[str] | None = None,
    mode: str = "stochastic",
    surrogate: str | None = None,
    levels: str = "01",
    threshold: float = 0.0,
    evaluation: str = "auto",
    slope: float = 1.0,
    share: float = 1.0,
    example: torch.Tensor | None = None,
    **estimator_options: Any,
) -> Net:
    """Makes the activations of `net` binary at the chosen layers, in place, and returns `net`.

        net = binlit.binarize(net, layers=[1, 2], estimator="st")

    Args:
        net: any module; weights, their names and the order of layers stay as they are.
        layers: a number, counted from 1 among `sites`; the name of any module (also outside `sites`); a list; `all`;
            `first`; `last`; `inner` (all but these two); `output` for the classifier's output (warned of); None for no
            binary layer.
        estimator: a name from `ESTIMATORS`, or an estimator object.
        sites: names of the candidate modules; the net's activation modules where not given.
        mode, levels, threshold, evaluation: as in `BinaryActivation`.
        surrogate: as in `BinaryActivation`; where not given `logistic` for estimators that need the logit of p (score
            functions, relaxations), else `hard_sigmoid`.
        slope: the slope to start from; `set_slope` changes it.
        share: share of each site's channels that are binary (study A4's mixed nets: 0.5); the others go through the
            activation that was there, and both are concatenated.
        example: a batch such as the net is trained on; estimators that learn a baseline size it by this.
        estimator_options: arguments of the estimator's class, such as `draws=8` for `rloo`.

    Raises:
        ValueError: a layer or name does not exist; the message lists what there is.

    Warns:
        OutputSiteWarning: a unit lands on the classifier's output.
    """
    candidates = activation_sites(net) if sites is None else list(sites)
    names = resolve_layers(layers, candidates, net)
    if not names:
        return net
    rule = make_estimator(estimator, **estimator_options)
    if surrogate is None:
        surrogate = "logistic" if rule.needs_logit else "hard_sigmoid"
    last, activations = output_layer(net), activation_sites(net)
    for name in names:
        number = candidates.index(name) + 1 if name in candidates else None
        rest = net.get_submodule(name) if share < 1 and name in activations else None
        if isinstance(rest, BinaryActivation):  # placed once before
            rest = getattr(rest, "rest", None)
        unit = BinaryActivation(rule, mode, surrogate, levels, threshold, evaluation, name, number, share, rest)
        unit.slope.fill_(slope)
        unit.train(net.training)
        _place(net, name, unit, replace=name in activations)
        if name in (last, end_of_chain(net)):
            warnings.warn(output_warning(name), OutputSiteWarning, stacklevel=2)
    if rule.learns:
        rule.prepare(site_shapes(net, example))
    return net


def site_shapes(net: nn.Module, example: torch.Tensor | None) -> dict[str, tuple[int, ...]]:
    """Shape of one example's units at each binary site, by a pass in evaluation mode that leaves `net` as it was.

    Raises:
        ValueError: there is no example.
    """
    units = binary_units(net)
    if example is None:
        raise ValueError(
            f"estimator '{type(units[0].estimator).__name__}' learns a baseline whose size depends on the net: give "
            "binarize(net, ..., example=x), x a batch such as the net is trained on"
        )
    shapes: dict[str, tuple[int, ...]] = {}

    def look(unit: Any, args: tuple[torch.Tensor, ...]) -> None:
        channels, *others = args[0].shape[1:]
        shapes[unit.site] = (unit.binary_channels(channels), *others)

    handles = [unit.register_forward_pre_hook(look) for unit in units]
    with evaluating(net, handles):
        net(example)
    return shapes


@contextlib.contextmanager
def evaluating(net: nn.Module, handles: Sequence[RemovableHandle] = ()) -> Iterator[None]:
    """Evaluation mode without gradients for a while; each module's own mode and torch's random state are put back.

    Args:
        handles: of hooks that look at this pass; they are removed at its end.
    """
    modes = [(module, module.training) for module in net.modules()]
    try:
        with torch.no_grad(), torch.random.fork_rng():
            net.eval()
            yield
    finally:
        for module, training in modes:
            module.training = training
        for handle in handles:
            handle.remove()


def make_estimator(estimator: str | Estimator, **options: Any) -> Estimator:
    """The estimator object for a name of `ESTIMATORS` (or the object itself).

    Raises:
        ValueError: the name is not known; the message has the nearest.
    """
    if isinstance(estimator, Estimator):
        if options:
            raise ValueError(f"{', '.join(options)}: options go to an estimator's name, and this is a finished object")
        return estimator
    if estimator not in ESTIMATORS:
        near = difflib.get_close_matches(estimator, ESTIMATORS, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"estimator={estimator!r} is not known{hint}; choose {', '.join(ESTIMATORS)}")
    return ESTIMATORS[estimator](**options)


def binary_units(net: nn.Module) -> list[BinaryActivation]:
    """The binary units of `net`, in the order of definition."""
    return [module for module in net.modules() if isinstance(module, BinaryActivation)]


def estimators(net: nn.Module) -> list[Estimator]:
    """The estimators of the binary units and binary weights of `net`, each once."""
    found = [getattr(module, "estimator", None) for module in net.modules()]
    return list({id(rule): rule for rule in found if isinstance(rule, Estimator)}.values())


def set_slope(net: nn.Module, slope: float) -> None:
    """Sets the slope of every binary unit of `net` (> 0)."""
    for unit in binary_units(net):
        unit.slope.fill_(slope)


def output_warning(name: str) -> str:
    """Why a binary classifier output trains badly, naming the site."""
    return (
        f"binary site '{name}' is the classifier's output: each logit can take two values only, so classes tie, the "
        "loss cannot fall below that of two-valued logits, and saturated logits send no gradient back. Leave the "
        "output real, or expect accuracy near chance"
    )


def _place(net: nn.Module, name: str, unit: BinaryActivation, replace: bool) -> None:
    parent = net.get_submodule(name.rpartition(".")[0])
    child = name.rpartition(".")[2]
    if replace:
        setattr(parent, child, unit)
        return
    module = net.get_submodule(name)
    if isinstance(getattr(module, "binary", None), BinaryActivation):
        module.binary = unit  # placed once before: take the newer settings, keep the one hook
        return
    module.add_module("binary", unit)
    module.register_forward_hook(binarize_output)


def binarize_output(module: Any, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    return module.binary(output)  # looked up by name, so that deepcopy and pickling keep working
