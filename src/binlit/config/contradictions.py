"""What each setting allows by itself, and the settings together do not. Each folder says what does not fit its part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import binlit.anneal.contradictions as anneal
import binlit.binary.contradictions as binary
import binlit.callbacks.contradictions as callbacks
import binlit.dataset.contradictions as dataset
import binlit.estimator.contradictions as estimator
import binlit.optimizer.contradictions as optimizer
from binlit.binary.layers import OUTPUT
from binlit.catalogue import Config, Option, files, packaged
from binlit.config.layers import chosen_layers, chosen_weights
from binlit.dataset.sizes import channels, image_size


def contradictions(cfg: Config, options: Mapping[str, Option]) -> Iterable[str]:
    """What each setting allows by itself, and the settings together do not, a line each."""
    net, layers, weights = cfg["model"], chosen_layers(cfg), chosen_weights(cfg)
    strangers = [
        *binary.unknown_layers(cfg, "layer", layers, net["sites"]),
        *binary.unknown_layers(cfg, "weights", weights, net["layers"]),
    ]
    yield from strangers
    if strangers:
        return
    if layers:
        yield from estimator.contradictions(cfg["estimator"], options["estimator"], cfg["binary"], layers, net["sites"])
        yield from anneal.contradictions(cfg["anneal"], cfg["trainer"].get("max_epochs") or 1)
    rule = options.get("weight.estimator")
    yield from binary.unfit_weights(cfg.get("weight"), weights, rule, options["optimizer"])
    if cfg["binary"]["eval"] != "mean" and cfg["binary"]["eval_draws"] > 1:
        yield (
            f"binary.eval_draws={cfg['binary']['eval_draws']} has no effect with binary.eval={cfg['binary']['eval']}; "
            "add binary.eval=mean"
        )
    yield from _misfits(cfg, options, layers)
    yield from dataset.contradictions(cfg["dataset"], options["dataset"], cfg["trainer"])
    yield from callbacks.contradictions(cfg, options["task"])
    yield from optimizer.contradictions(cfg["optimizer"])
    for key, value in _floats(cfg):
        if not math.isfinite(value):
            yield f"{key}={value} is not a finite number"


def _misfits(cfg: Config, options: Mapping[str, Option], layers: list[str]) -> Iterable[str]:
    """Options that do not fit each other, by what they take and give."""
    model, task = options["model"], options["task"]
    shape = {"channels": channels(cfg["dataset"]), "image_size": image_size(cfg["dataset"])}
    for key, value in shape.items():
        if model.facts.images.get(key, value) != value:
            fitting = [name for name, one in files("model").items() if one.facts.images.get(key, value) == value]
            yield (
                f"dataset.{key}={value} does not fit model '{model.name}', which takes {model.facts.images[key]}; "
                f"choose model={' or '.join(fitting)}"
            )
    for group, kind in (("dataset", "data"), ("model", "net")):
        one = options[group]
        gives = task.facts.takes.get(kind, one.facts.gives)
        if one.facts.gives != gives:
            fitting = [name for name, known in files(group).items() if known.facts.gives == gives]
            yield (
                f"{group}={one.name} does not fit task={task.name}: it gives {one.facts.gives}, not {gives}; "
                f"choose {group}={' or '.join(fitting)}"
            )
    if task.facts.shares_losses and layers and not options["estimator"].facts.shares_losses:
        others = (one for one in packaged("estimator").values() if one.facts.kind == options["estimator"].facts.kind)
        fitting = [one.name for one in others if one.facts.shares_losses]
        yield (
            f"estimator={options['estimator'].name} is right for one example at a time, and with task={task.name} "
            f"examples share losses; choose estimator={' or '.join(fitting)}"
        )
    if model.facts.gives == "embedding" and OUTPUT in layers:
        yield (
            f"binary.layer=output: model '{model.name}' ends with an embedding, not with a classifier's output; "
            "write last for a binary embedding"
        )


def _floats(node: Any, path: str = "") -> Iterable[tuple[str, float]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _floats(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, float):
        yield path, node
