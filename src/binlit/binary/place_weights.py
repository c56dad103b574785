"""Placing binary weights into a finished net, and what training them needs: clipping, and rates of their own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from binlit.binary.place import make_estimator
from binlit.binary.sites import resolve_layers
from binlit.binary.unit import BinaryActivation, refuse_unknown
from binlit.binary.weight import BinaryWeight, channel_means
from binlit.estimator import Estimator

Net = TypeVar("Net", bound=nn.Module)
KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
RATES, INITS = ("none", "glorot"), ("model", "uniform")


class RealWeightWarning(UserWarning):
    """Weights stay real although all were to be binary."""


def weight_layers(net: nn.Module) -> list[str]:
    """Names of the layers of `net` whose weights can be binary (linear, convolution), in the order of definition."""
    return [name for name, module in net.named_modules() if isinstance(module, KINDS)]


def binarize_weights(
    net: Net,
    layers: int | str | Sequence[int | str] | None = "all",
    estimator: str | Estimator = "st_clipped",
    *,
    candidates: Sequence[str] | None = None,
    mode: str = "deterministic",
    surrogate: str | None = None,
    scale: str = "none",
    clip: str = "weight",
    rate: str = "glorot",
    init: str = "uniform",
    evaluation: str = "threshold",
    **estimator_options: Any,
) -> Net:
    """Makes the weights of `net` binary at the chosen layers, in place, and returns `net`. Biases stay real.

        net = binlit.binarize_weights(net, layers="all")
        optimizer = torch.optim.Adam(binlit.weight_groups(net, lr=3e-3))
        binlit.clip_latents(net)  # after each step of the optimizer

    The defaults are those of Algorithm 1 of BNN (Hubara et al. 2016, 1602.02830), and of its code where it is silent.

    Args:
        net: any module; linear and convolution layers can be binary. The state of the net as it was before can be
            loaded into it: real weights become latent ones (clipped, unless clip is `none`). `torch.save(net)` is
            refused by torch (it pickles no parametrized module): save `net.state_dict()`, and load that into a net made
            and binarized in the same way.
        layers: a number, counted from 1 among `candidates`; a module's name; a list; `all`; `first`; `last`; `inner`
            (all but first and last); None for none.
        estimator: a pathwise rule (name or object). No score function: a weight's bit is shared by all examples.
        candidates: names of the layers that numbers and words count; all linear and convolution layers if not given.
        mode, surrogate, scale, evaluation: as in `BinaryWeight`; surrogate defaults to `logistic` for estimators that
            need the logit of p, else to `hard_sigmoid`.
        clip: what `clip_latents` holds in [-1, 1]: `weight`, `weight_and_bias` (of the same layers), or `none`.
        rate: `glorot` multiplies the learning rate by sqrt((fan_in + fan_out) / 1.5), `none` by 1; see `weight_groups`.
        init: latent weights anew, `uniform` on [-1, 1], or the `model`'s own (clipped, unless clip is `none`).
        estimator_options: arguments of the estimator's class.

    Raises:
        ValueError: a layer or name does not exist, has no weight of its own or none yet, or the estimator does not fit.

    Warns:
        RealWeightWarning: `all` leaves weights real, because they are no linear or convolution layer's (ConvTranspose,
            GRU, attention's in_proj_weight, an embedding).

    Examples:
        >>> import binlit
        >>> from torch import nn
        >>> net = binlit.binarize_weights(nn.Sequential(nn.Linear(4, 8), nn.Hardtanh(), nn.Linear(8, 2)))
        >>> sorted(set(net[0].weight.flatten().tolist()))
        [-1.0, 1.0]
    """
    refuse_unknown("rate", rate, RATES)
    refuse_unknown("init", init, INITS)
    known = weight_layers(net)
    names = resolve_layers(layers, known if candidates is None else list(candidates), net, "weight layers")
    if not names:
        return net
    rule = make_estimator(estimator, **estimator_options)
    if surrogate is None:
        surrogate = "logistic" if rule.needs_logit else "hard_sigmoid"
    for name in names:
        _refuse_unfit(net, name, known)
    if "all" in ([layers] if isinstance(layers, int | str) else layers or []) and (left := other_weights(net)):
        warnings.warn(
            f"weights that are no linear or convolution layer's stay real: {', '.join(left)}",
            RealWeightWarning,
            stacklevel=2,
        )
    for name in names:
        layer: Any = net.get_submodule(name)
        if _unit(layer) is None:
            layer.register_load_state_dict_pre_hook(take_real_weight)
        else:  # placed once before: take the newer settings
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        with torch.no_grad():
            if init == "uniform":
                layer.weight.uniform_(-1, 1)
            elif clip != "none":
                layer.weight.clamp_(-1, 1)
        scale_of_rate = glorot_rate(layer.weight) if rate == "glorot" else 1.0
        unit = BinaryWeight(layer.weight, rule, mode, surrogate, scale, evaluation, clip, scale_of_rate, name)
        unit.train(layer.training)
        parametrize.register_parametrization(layer, "weight", unit, unsafe=True)
    return net


def _refuse_unfit(net: nn.Module, name: str, known: Sequence[str]) -> None:
    """ValueError where the layer has no weight that can be binary."""
    layer: Any = net.get_submodule(name)
    if name not in known:
        raise ValueError(
            f"layer {name!r} is a {type(layer).__name__}, and weights can be binary in linear and convolution layers: "
            f"{', '.join(known)}"
        )
    if parametrize.is_parametrized(layer, "weight"):
        if _unit(layer) is None:
            held = ", ".join(type(one).__name__ for one in layer.parametrizations.weight)
            raise ValueError(f"layer {name!r} is parametrized already ({held}): take that away first")
    elif "weight" not in layer._parameters:
        raise ValueError(f"layer {name!r} has no weight of its own (weight_norm?): take what makes it away first")
    elif isinstance(layer.weight, nn.UninitializedParameter):
        raise ValueError(f"layer {name!r} has no weight yet ({type(layer).__name__}): run the net on a batch first")


def other_weights(net: nn.Module) -> list[str]:
    """Modules with weights of two dimensions or more that are no linear or convolution layer's, and which these are."""
    weights: dict[str, list[str]] = {}
    inner = tuple(f"{name}." for name, one in net.named_modules() if isinstance(one, (BinaryActivation, *KINDS)))
    for name, parameter in net.named_parameters():
        holder, _, own = name.rpartition(".")
        if not isinstance(parameter, nn.UninitializedParameter) and not name.startswith(inner):
            weights.setdefault(holder, []).extend([own] if sum(size > 1 for size in parameter.shape) > 1 else [])
    return [
        f"{holder or 'the net itself'} ({type(net.get_submodule(holder)).__name__}: {', '.join(own)})"
        for holder, own in weights.items()
        if own
    ]


def take_real_weight(layer: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Hook of a layer that loads a state: where that is from before the placing, its weight becomes the latent one."""
    unit, weight = _unit(layer), state.get(f"{prefix}weight")
    if unit is None or weight is None:
        return
    held = f"{prefix}parametrizations.weight."
    weight = weight if unit.clip == "none" else weight.clamp(-1, 1)
    state.update(layer.parametrizations.weight.state_dict(prefix=held) | {f"{held}original": weight})
    if unit.scaling == "learned":
        state[f"{held}0.scale"] = channel_means(weight)
    del state[f"{prefix}weight"]


def glorot_rate(weight: Tensor) -> float:
    """sqrt((fan_in + fan_out) / 1.5): the reciprocal of Glorot's scale for a uniform start, as BNN's code has it."""
    area = math.prod(weight.shape[2:])
    return math.sqrt((weight.shape[0] + weight.shape[1]) * area / 1.5)


def binary_weights(net: nn.Module) -> dict[str, BinaryWeight]:
    """{layer: its binary weight}, in the order of definition."""
    found = {}
    for name, module in net.named_modules():
        units = _unit(module)
        if units is not None:
            found[name] = units
    return found


def latent(net: nn.Module, layer: str) -> nn.Parameter:
    """The latent weight of a layer whose weight is binary."""
    module: Any = net.get_submodule(layer)
    return module.parametrizations.weight.original  # type: ignore[no-any-return]


def clip_latents(net: nn.Module) -> None:
    """Holds the latent weights in [-1, 1] where their unit says so: Algorithm 1's Clip, for after each step.

    Examples:
        >>> import binlit
        >>> from torch import nn
        >>> net = binlit.binarize_weights(nn.Sequential(nn.Linear(4, 2)))
        >>> real = net[0].parametrizations.weight.original
        >>> _ = real.data.fill_(3.0)
        >>> binlit.clip_latents(net)
        >>> real.max().item()
        1.0
    """
    for name, unit in binary_weights(net).items():
        if unit.clip == "none":
            continue
        with torch.no_grad():
            latent(net, name).clamp_(-1, 1)
            bias: Any = net.get_submodule(name).bias
            if unit.clip == "weight_and_bias" and bias is not None:
                bias.clamp_(-1, 1)


def weight_groups(net: nn.Module, lr: float | None = None) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: all real parameters, then one for each binary layer's latent weight.

    The latter have `binary` True, `rate_scale`, and weight decay 0 (it would pull latent weights to where they flip).

    Args:
        lr: the learning rate; each group then has its own, scaled. None leaves it to the caller.

    Examples:
        >>> import binlit, torch
        >>> from torch import nn
        >>> net = binlit.binarize_weights(nn.Sequential(nn.Linear(4, 2)))
        >>> optimizer = torch.optim.Adam(binlit.weight_groups(net, lr=0.01))
        >>> [(group.get("binary", False), group["lr"]) for group in optimizer.param_groups]
        [(False, 0.01), (True, 0.02)]
    """
    units = binary_weights(net)
    groups: list[dict[str, Any]] = []
    seen: set[int] = set()
    for name, unit in units.items():
        weight = latent(net, name)
        if id(weight) in seen:  # two layers share it
            continue
        seen.add(id(weight))
        group = {"params": [weight], "binary": True, "rate_scale": unit.rate_scale, "weight_decay": 0.0}
        groups.append(group | ({"lr": lr * unit.rate_scale} if lr is not None else {}))
    real: dict[str, Any] = {"params": [p for p in net.parameters() if id(p) not in seen]}
    return [real | ({"lr": lr} if lr is not None else {}), *groups]


def _unit(module: nn.Module) -> BinaryWeight | None:
    if not parametrize.is_parametrized(module, "weight"):
        return None
    units = [unit for unit in module.parametrizations.weight if isinstance(unit, BinaryWeight)]  # type: ignore
    return units[0] if units else None
