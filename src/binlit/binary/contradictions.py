"""Layers that a net does not have, and settings of binary weights that do not go together. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from binlit.binary.layers import OUTPUT, WORDS, is_number, no_layer
from binlit.catalogue import Config, Option, packaged
from binlit.errors import did_you_mean


def unknown_layers(cfg: Config, key: str, chosen: Sequence[str], known: Sequence[str]) -> Iterable[str]:
    """Layers that the net does not have, and a choice that comes to none of those it has.

    Args:
        key: `layer` or `weights`, of the group `binary`.
        chosen: canonical names of the chosen layers.
        known: what there is to choose from.
    """
    asked, net = cfg["binary"].get(key), f"model '{cfg['model']['name']}'"
    words = ["null", *WORDS, OUTPUT] if key == "layer" else ["null", *WORDS]
    if not chosen and not no_layer(asked):
        yield (
            f"binary.{key}={asked} leaves nothing binary: {net} has {len(known)} to choose from; give numbers, all, "
            "or null"
        )
    noun, allowed = (
        "sites" if key == "layer" else "layers with a weight",
        f"1 to {len(known)}" if len(known) > 1 else "1",
    )
    for layer in chosen:
        if (is_number(layer) and 1 <= int(layer) <= len(known)) or layer in words:
            continue
        if is_number(layer.lstrip("-")):
            hint = f" (did you mean {min(max(int(layer), 1), len(known))}?)"
        else:
            hint = did_you_mean(layer, [*words, *known])
        hint = f"; drop the quotes, binary.{key}={layer}" if layer.startswith("[") else hint
        yield (
            f"binary.{key}={layer} does not exist: {net} has {len(known)} {noun}; choose {allowed}, a list of these, "
            f"or {', '.join(words)}{hint}"
        )


def unfit_weights(
    weight: Config | None, chosen: Sequence[str], rule: Option | None, optimizer: Option
) -> Iterable[str]:
    """Settings of binary weights that contradict one another.

    Args:
        weight: their settings; None where the group was not given.
        chosen: canonical names of the layers with binary weights.
        rule: their estimator.
        optimizer: what trains them.
    """
    if optimizer.facts.flips and not chosen:
        yield f"optimizer={optimizer.name} flips binary weights, and binary.weights is null; write binary.weights=all"
    if not chosen:
        return
    if not weight or rule is None:
        yield "binary.weights is given, and the group weight is not; write weight=bnn"
        return
    name, kind = rule.name, rule.facts.kind
    if kind == "score_function":
        yield (
            f"estimator@weight.estimator={name} weighs log-probabilities by each example's loss, and a weight's bit "
            "is shared by all examples; choose a pathwise rule, such as st_clipped"
        )
    if kind == "relaxation" and weight["surrogate"] != "logistic":
        yield f"weight.surrogate={weight['surrogate']} reaches p = 0 and p = 1; {name} needs weight.surrogate=logistic"
    if kind == "relaxation" and weight["mode"] == "deterministic":
        yield f"weight.mode=deterministic draws no bit, and {name} is about the draw; write weight.mode=stochastic"
    if optimizer.facts.flips and not rule.facts.constant:
        fitting = (one.name for one in packaged("estimator").values() if one.facts.constant)
        yield (
            f"estimator@weight.estimator={name} is about how far a latent weight is from 0, and with "
            f"optimizer={optimizer.name} there is none: all stand at -1 and 1; choose {' or '.join(fitting)}"
        )
    if optimizer.facts.flips and (weight["mode"], weight["scale"]) != ("deterministic", "none"):
        yield (
            f"optimizer={optimizer.name} has no latent weights to draw from or to scale by; "
            f"weight.mode={weight['mode']} and weight.scale={weight['scale']} do not fit, write deterministic and none"
        )
