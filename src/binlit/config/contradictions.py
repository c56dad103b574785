"""What each setting allows by itself, and the settings together do not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from binlit.catalogue import Option, files, packaged
from binlit.config.callback_options import METRICS, unfit_checkpoints
from binlit.config.cost import unfit_sizes, unfit_slope
from binlit.config.read import (
    Config,
    channels,
    chosen_by,
    chosen_layers,
    chosen_weights,
    image_size,
    is_number,
    no_choice,
)
from binlit.errors import did_you_mean


def contradictions(cfg: Config, options: Mapping[str, Option]) -> Iterable[str]:
    """What each setting allows by itself, and the settings together do not."""
    binary, sites = cfg["binary"], cfg["model"]["sites"]
    words = ["null", "first", "last", "inner", "all"]
    strangers = [
        *_strangers(cfg, "layer", chosen_layers(cfg), sites, [*words, "output"], "sites"),
        *_strangers(cfg, "weights", chosen_weights(cfg), cfg["model"]["layers"], words, "layers with a weight"),
    ]
    yield from strangers
    if strangers:
        return
    if chosen_layers(cfg):
        yield from _unfit_estimator(cfg, options["estimator"])
    yield from _unfit_weights(cfg, options)
    if binary["eval"] != "mean" and binary["eval_draws"] > 1:
        yield (
            f"binary.eval_draws={binary['eval_draws']} has no effect with binary.eval={binary['eval']}; "
            "add binary.eval=mean"
        )
    yield from _misfits(cfg, options)
    for key, value in _floats(cfg):
        if not math.isfinite(value):
            yield f"{key}={value} is not a finite number"


KINDS = {"score_function": "a score function", "relaxation": "a relaxation"}


def _unfit_estimator(cfg: Config, estimator: Option) -> Iterable[str]:
    """Settings of the binary layers that do not fit the estimator."""
    binary, sites, name, kind = cfg["binary"], cfg["model"]["sites"], estimator.name, estimator.facts.kind
    if kind in KINDS and binary["surrogate"] != "logistic":
        yield (
            f"binary.surrogate={binary['surrogate']} reaches p = 0 and p = 1, where log p is infinite; "
            f"estimator={name} is {KINDS[kind]} and needs binary.surrogate=logistic"
        )
    if kind == "relaxation" and binary["mode"] == "deterministic":
        yield (
            f"binary.mode=deterministic draws no bit, and estimator={name} is about the draw; write "
            "binary.mode=stochastic, with binary.eval=threshold for thresholded bits at test time"
        )
    key = estimator.facts.per_site
    counts = cfg["estimator"].get(key)
    if counts is None:
        return
    numbers = [int(layer) for layer in chosen_layers(cfg) if is_number(layer)]
    each = counts if isinstance(counts, list) and len(counts) > 1 else None
    if each and len(each) != len(sites):
        yield f"estimator.{key}={counts} must have one count for each of the {len(sites)} sites, or be one integer"
    elif each and "output" in chosen_layers(cfg):
        yield f"estimator.{key}={counts} has no count for the output; give one integer"
    elif each and cfg["estimator"].get("repeat_at") == "input":
        yield f"estimator.{key}={counts} with repeat_at=input: all sites share one count, give one"
    else:
        first = each[numbers[0] - 1] if each and numbers else counts[0] if isinstance(counts, list) else counts
        if first < estimator.facts.fewest_draws:
            where = f" at site {numbers[0]}, the first that is binary" if each and numbers else ""
            yield (
                f"estimator.{key}={counts}: {name} needs at least {estimator.facts.fewest_draws}{where}: there must be "
                "something to compare with"
            )


def _strangers(
    cfg: Config, key: str, chosen: list[str], sites: list[str], words: list[str], noun: str
) -> Iterable[str]:
    """Layers that the net does not have, and a choice that comes to none of those it has."""
    asked = cfg["binary"].get(key)
    if not chosen and not no_choice(asked):
        yield (
            f"binary.{key}={asked} leaves nothing binary: model '{cfg['model']['name']}' has {len(sites)} to choose "
            "from; give numbers, all, or null"
        )
    allowed = f"1 to {len(sites)}" if len(sites) > 1 else "1"
    for layer in chosen:
        if (is_number(layer) and 1 <= int(layer) <= len(sites)) or (layer == "output" and "output" in words):
            continue
        if is_number(layer.lstrip("-")):
            hint = f" (did you mean {min(max(int(layer), 1), len(sites))}?)"
        else:
            hint = did_you_mean(layer, [*words, *sites])
        hint = f"; drop the quotes, binary.{key}={layer}" if layer.startswith("[") else hint
        yield (
            f"binary.{key}={layer} does not exist: model '{cfg['model']['name']}' has {len(sites)} {noun}; "
            f"choose {allowed}, a list of these, or {', '.join(words)}{hint}"
        )


def _unfit_weights(cfg: Config, options: Mapping[str, Option]) -> Iterable[str]:
    """Settings of binary weights that contradict one another."""
    chosen, weight, optimizer = chosen_weights(cfg), cfg.get("weight"), options["optimizer"]
    if optimizer.facts.flips and not chosen:
        yield f"optimizer={optimizer.name} flips binary weights, and binary.weights is null; write binary.weights=all"
    if not chosen:
        return
    if not weight:
        yield "binary.weights is given, and the group weight is not; write weight=bnn"
        return
    rule = options["weight.estimator"]
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


def _misfits(cfg: Config, options: Mapping[str, Option]) -> Iterable[str]:
    """Settings that do not fit the net, the data or the metrics that there are."""
    data, model, task = options["dataset"], options["model"], options["task"]
    shape = {"channels": channels(cfg), "image_size": image_size(cfg)}
    for key, value in shape.items():
        if model.facts.images.get(key, value) != value:
            fitting = [name for name, one in files("model").items() if one.facts.images.get(key, value) == value]
            yield (
                f"dataset.{key}={value} does not fit model '{model.name}', which takes {model.facts.images[key]}; "
                f"choose model={' or '.join(fitting)}"
            )
    yield from _too_many(cfg["dataset"], data)
    yield from _unfit_task(data, model, task)
    if task.facts.shares_losses and chosen_layers(cfg) and not options["estimator"].facts.shares_losses:
        yield (
            f"estimator={options['estimator'].name} is right for one example at a time, and with task={task.name} "
            "examples share losses; choose another score function, such as rloo or disarm"
        )
    if task.facts.shares_losses and any(
        str((node or {}).get("_target_")).endswith("GradientProbe") for node in cfg["callbacks"].values()
    ):
        yield f"callbacks=probe measures the gradient of a classification loss; leave it out with task={task.name}"
    if model.facts.gives == "embedding" and "output" in chosen_layers(cfg):
        yield (
            f"binary.layer=output: model '{model.name}' ends with an embedding, not with a classifier's output; "
            "write last for a binary embedding"
        )
    yield from _never_validated(cfg)
    yield from unfit_slope(cfg)
    yield from unfit_sizes(cfg)
    yield from unfit_checkpoints(cfg)
    yield from _unfit_optimizer(cfg["optimizer"])
    for name, node in cfg["callbacks"].items():
        monitor = (node or {}).get("monitor")
        if monitor is not None and monitor not in METRICS:
            yield (
                f"callbacks.{name}.monitor={monitor} is not logged; choose {', '.join(METRICS)}"
                f"{did_you_mean(monitor, METRICS)}"
            )


def _unfit_optimizer(node: Config) -> Iterable[str]:
    """Settings with which weights vanish, or which torch refuses."""
    lr, decay = node.get("lr", 0), node.get("weight_decay", 0)
    if lr * decay > 0.1:
        yield (
            f"optimizer.lr={lr} with optimizer.weight_decay={decay} takes away {lr * decay:.0%} of each weight at "
            "every step; give smaller ones"
        )
    if node.get("nesterov") and not node.get("momentum"):
        yield f"optimizer.nesterov=true needs momentum, and optimizer.momentum={node.get('momentum')}; write 0.9"
    betas = node.get("betas", [])
    if any(type(value) is int for value in betas):
        yield f"optimizer.betas={betas} is not allowed: write them with a point, {[float(value) for value in betas]}"


def _never_validated(cfg: Config) -> Iterable[str]:
    """A tested epoch that is to be chosen by validation, of which there is none."""
    trainer, monitor = cfg["trainer"], chosen_by(cfg)
    if monitor is None or not monitor.startswith("val/") or trainer.get("fast_dev_run"):
        return
    every, epochs = trainer.get("check_val_every_n_epoch"), trainer.get("max_epochs")
    if every and epochs and every > epochs:
        yield (
            f"trainer.check_val_every_n_epoch={every} leaves no validation in {epochs} epochs to choose the tested one "
            "by; give a smaller number, or callbacks.best=null for the last epoch"
        )


def _too_many(data: Config, one: Option) -> Iterable[str]:
    """More classes or drawings than the data set has; what depends on the split of the characters is known later."""
    each = data.get("drawings_each", getattr(one.facts, "drawings", None))
    if each is None:
        return
    if one.facts.gives == "labels":
        turns, classes = len(data["rotations"]), data["classes"]
        there = max(one.facts.named_classes.values()) * turns if one.facts.named_classes else classes
        if classes % turns or classes > there:
            yield (
                f"dataset.classes={classes} cannot be made of characters in {turns} rotations; give a multiple of "
                f"{turns}" + (f", at most {there}" if one.facts.named_classes else "")
            )
        if data["validation"] + data["test"] >= each:
            yield (
                f"dataset.validation={data['validation']} and dataset.test={data['test']} leave nothing of the {each} "
                "drawings of a character to train on"
            )
        return
    kinds = {"train_shot and dataset.train_query": data["train_shot"] + data["train_query"]}
    kinds["shot and dataset.query"] = max([data["shot"], *(shot for _, shot in data["also"])]) + data["query"]
    tests = [(data["way"], data["shot"]), *map(tuple, data["also"])]
    if len(set(tests)) < len(tests):
        yield (
            f"dataset.also={data['also']} names a kind of episode twice, or that of dataset.way={data['way']} "
            f"dataset.shot={data['shot']}, which is tested anyhow; leave it out"
        )
    if any(way < 2 for way, _ in data["also"]):
        yield f"dataset.also={data['also']} has a test with one class, where every answer is right; give 2 or more"
    for keys, count in kinds.items():
        if count > each:
            yield f"dataset.{keys} ask for {count} drawings of a class, and there are {each}; take fewer"


def _unfit_task(data: Option, model: Option, task: Option) -> Iterable[str]:
    """A task takes one kind of data and one kind of net."""
    wanted = task.facts.takes
    for group, one in (("dataset", data), ("model", model)):
        gives = wanted.get("data" if group == "dataset" else "net", one.facts.gives)
        if one.facts.gives != gives:
            fitting = " or ".join(name for name, known in files(group).items() if known.facts.gives == gives)
            yield (
                f"{group}={one.name} does not fit task={task.name}: it gives {one.facts.gives}, not {gives}; "
                f"choose {group}={fitting}"
            )


def _floats(node: Any, path: str = "") -> Iterable[tuple[str, float]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _floats(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, float):
        yield path, node
