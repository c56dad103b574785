"""Placing binary units into a finished net.

Where the named module is an activation, the unit takes its place; at the end of a plain Sequential it is one more
module; after any other module it is a child, `binary`, that a forward hook calls with what the module sends out.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from binlit.binary.reach import (
    OutputSiteWarning,
    hold_to_modules,
    output_warning,
    refuse_partly_shared,
    refuse_unreachable,
    watch_first_pass,
)
from binlit.binary.sites import (
    OUTPUT,
    activation_sites,
    ends_of_chain,
    is_activation,
    layers_with_parameters,
    module_at,
    output_layer,
    place,
    resolve_layers,
)
from binlit.binary.unit import BinaryActivation
from binlit.estimator import ESTIMATORS, Estimator, meant

Net = TypeVar("Net", bound=nn.Module)


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
        net: any module; weights, their names and the order of layers stay as they are. The state of the net as it was
            before can be loaded into it: pretrain real, then binarize.
        layers: a number, counted from 1 among `sites`; the name of any module (also outside `sites`); a list; `all`;
            `first`; `last`; `inner` (all but these two); `output` for the classifier's output (warned of): the layer
            with parameters that is called last, or without `example` the one defined last; None for no binary layer.
        estimator: a name from `ESTIMATORS`, or an estimator object.
        sites: names of the candidate modules; the net's activation modules where not given.
        mode, levels, threshold, evaluation: as in `BinaryActivation`.
        surrogate: as in `BinaryActivation`; where not given `logistic` for estimators that need the logit of p (score
            functions, relaxations), else `hard_sigmoid`.
        slope: the slope to start from; `set_slope` changes it.
        share: share of each site's channels that are binary (0.5 in the mixed nets of study A4, docs/studies.md); the
            others go through the activation that was there, and both are concatenated.
        example: a batch such as the net is trained on. The net is run on it once, in evaluation mode, so that what is
            wrong is said at once and not in the first pass; estimators that learn a baseline size it by this.
        estimator_options: arguments of the estimator's class, such as `draws=8` for `rloo`.

    Raises:
        ValueError: a layer or name does not exist (the message lists what there is), or a unit there could not act once
            for each call: what is never called (a ModuleList, attention's out_proj), what sends out a tuple (GRU).

    Warns:
        OutputSiteWarning: a unit lands on the classifier's output.
        UnreachedSiteWarning: in the first pass (of whatever mode; that of `example` where there is one): a unit was not
            reached. No later pass is looked at, nor one under torch.compile.

    Examples:
        >>> import binlit, torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> net = binlit.binarize(net, layers=1, estimator="st")
        >>> type(net[1]).__name__
        'BinaryActivation'
        >>> sorted(set(net[:2](torch.randn(100, 4)).flatten().tolist()))
        [0.0, 1.0]
    """
    candidates = activation_sites(net) if sites is None else list(sites)
    wanted = [layers] if isinstance(layers, int | str) else list(layers or [])
    order_matters = OUTPUT in wanted or output_layer(net) in wanted
    called_last = last_called(net, example) if example is not None and order_matters else None
    names = resolve_layers(layers, candidates, net, output=called_last)
    if not names:
        return net
    for name in names:
        refuse_unreachable(net, name)
    refuse_partly_shared(net, names)
    rule = make_estimator(estimator, **estimator_options)
    if rule.learns and example is None:
        raise ValueError(
            f"estimator '{type(rule).__name__}' learns a baseline whose size depends on the net: give "
            "binarize(net, ..., example=x), x a batch such as the net is trained on"
        )
    if surrogate is None:
        surrogate = "logistic" if rule.needs_logit else "hard_sigmoid"
    chain_ends = ends_of_chain(net)
    ends = {called_last or output_layer(net), *chain_ends}
    for name in _each_once(net, names):
        number = candidates.index(name) + 1 if name in candidates else None
        rest = module_at(net, name) if share < 1 and is_activation(module_at(net, name)) else None
        if isinstance(rest, BinaryActivation):  # placed once before
            rest = getattr(rest, "rest", None)
        unit = BinaryActivation(rule, mode, surrogate, levels, threshold, evaluation, name, number, share, rest)
        unit.slope.fill_(slope)
        unit.train(net.training)
        unit.first_calls, unit.is_output = 0, name in ends
        _put_unit(net, name, unit)
        hold_to_modules(net, name)
        if unit.is_output:
            known = name in (called_last, *chain_ends)
            warnings.warn(output_warning(name, known), OutputSiteWarning, stacklevel=2)
    watch_first_pass(net)
    if rule.learns or (example is not None and type(rule).prepare is not Estimator.prepare):
        rule.prepare(site_shapes(net, example))
    elif example is not None:
        with evaluating(net):
            net(example)
    return net


def last_called(net: nn.Module, example: torch.Tensor) -> str | None:
    """Name of the module that ends last, of those with parameters of their own, in a pass in evaluation mode."""
    ended: list[str] = []
    handles = [
        module.register_forward_hook(lambda _module, _args, _out, name=name: ended.append(name))
        for name, module in layers_with_parameters(net).items()
    ]
    with evaluating(net, handles):
        net(example)
    return ended[-1] if ended else None


def site_shapes(net: nn.Module, example: torch.Tensor | None) -> dict[str, tuple[int, ...]]:
    """Shape of one example's units at each binary site, by a pass in evaluation mode that leaves `net` as it was."""
    units = binary_units(net)
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
        raise ValueError(f"estimator={estimator!r} is not known{meant(estimator)}; choose {', '.join(ESTIMATORS)}")
    return ESTIMATORS[estimator](**options)


def binary_units(net: nn.Module) -> list[BinaryActivation]:
    """The binary units of `net`, in the order of definition."""
    return [module for module in net.modules() if isinstance(module, BinaryActivation)]


def estimators(net: nn.Module) -> list[Estimator]:
    """The estimators of the binary units and binary weights of `net`, each once."""
    found = [getattr(module, "estimator", None) for module in net.modules()]
    return list({id(rule): rule for rule in found if isinstance(rule, Estimator)}.values())


def set_slope(net: nn.Module, slope: float) -> None:
    """Sets the slope of every binary unit of `net` (> 0).

    Examples:
        >>> import binlit
        >>> from torch import nn
        >>> net = binlit.binarize(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
        >>> binlit.set_slope(net, 2.5)
        >>> float(net[1].slope)
        2.5
    """
    for unit in binary_units(net):
        unit.slope.fill_(slope)


def _each_once(net: nn.Module, names: Sequence[str]) -> list[str]:
    """The names less those of a place or a module named before: a block at two places of the net is one block."""
    modules = {name: module_at(net, name) for name in names}
    keys = {name: place(net, name) if is_activation(one) else id(one) for name, one in modules.items()}
    return list({key: name for name, key in reversed(keys.items())}.values())[::-1]


def _put_unit(net: nn.Module, name: str, unit: BinaryActivation) -> None:
    parent, _, child = name.rpartition(".")
    module = module_at(net, name)
    if is_activation(module):
        unit.replaced = module.replaced if isinstance(module, BinaryActivation) else tuple(module.state_dict())
        unit.behind = getattr(module, "behind", False)
        setattr(net.get_submodule(parent), child, unit)
    elif type(module).forward is nn.Sequential.forward:
        module.add_module("binary", unit)  # whoever goes through the modules one by one meets it as well
    else:
        unit.behind = True
        if not hasattr(module, "binary"):  # placed once before: take the newer settings, keep the one hook
            module.register_forward_hook(binarize_output)
        module.add_module("binary", unit)


def binarize_output(module: Any, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    return module.binary(output, by_hook=True)  # looked up by name, so that deepcopy and pickling keep working
