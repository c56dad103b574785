"""What each setting allows by itself, and the settings together do not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from binlit.config.callback_options import METRICS, unfit_checkpoints
from binlit.config.cost import unfit_sizes, unfit_slope
from binlit.config.estimator_options import RELAXATIONS, SCORE_FUNCTIONS
from binlit.config.read import (
    Config,
    channels,
    chosen_by,
    chosen_layers,
    chosen_weights,
    did_you_mean,
    image_size,
    is_number,
    nearest,
    no_choice,
)
from binlit.config.schema import OPTIONS

NAMED_CLASSES = {"omniglot": {"background": 964, "all": 1623}}
FIXED_SITES = {
    name: [f"features.act{i}" for i in range(1, count + 1)]
    for name, count in {"mnist_cnn": 2, "conv4": 4, "omniglot_cnn": 4, "omniglot_cnn5": 5, "bnn_convnet": 8}.items()
}
DRAWINGS = 20  # of each of Omniglot's characters
EPISODES, ENCODERS = ("omniglot_fewshot", "glyphs_fewshot"), ("conv4",)
BOP_RULES = ("st_clipped", "st_identity", "st")  # the gradient of the bit itself


def contradictions(cfg: Config) -> Iterable[str]:
    """What each setting allows by itself, and the settings together do not."""
    binary, estimator, sites = cfg["binary"], cfg["estimator"], cfg["model"]["sites"]
    words = ["null", "first", "last", "inner", "all"]
    yield from _strangers(cfg, "layer", chosen_layers(cfg), sites, [*words, "output"], "sites")
    yield from _strangers(
        cfg, "weights", chosen_weights(cfg), cfg["model"].get("layers", []), words, "layers with a weight"
    )
    if {"classes"} <= cfg["model"].keys() & cfg["dataset"].keys() and (
        cfg["model"]["classes"] != cfg["dataset"]["classes"]
    ):
        yield (
            f"model.classes={cfg['model']['classes']} does not fit dataset '{cfg['dataset']['name']}', which has "
            f"{cfg['dataset']['classes']} classes; leave model.classes out"
        )
    name = estimator["name"]
    if chosen_layers(cfg) and name in SCORE_FUNCTIONS + RELAXATIONS and binary["surrogate"] != "logistic":
        kind = "a score function" if name in SCORE_FUNCTIONS else "a relaxation"
        yield (
            f"binary.surrogate={binary['surrogate']} reaches p = 0 and p = 1, where log p is infinite; "
            f"estimator={name} is {kind} and needs binary.surrogate=logistic"
        )
    if chosen_layers(cfg) and name in RELAXATIONS and binary["mode"] == "deterministic":
        yield (
            f"binary.mode=deterministic draws no bit, and estimator={name} is about the draw; write "
            "binary.mode=stochastic, with binary.eval=threshold for thresholded bits at test time"
        )
    key = "groups" if "groups" in estimator else "draws"
    draws = estimator.get(key)
    if isinstance(draws, list) and len(draws) > 1:
        numbers = [int(layer) for layer in chosen_layers(cfg) if is_number(layer)]
        if len(draws) != len(sites):
            yield f"estimator.{key}={draws} must have one count for each of the {len(sites)} sites, or be one integer"
        elif "output" in chosen_layers(cfg):
            yield f"estimator.{key}={draws} has no count for the output; give one integer"
        elif numbers and name in ("rloo", "arms") and draws[numbers[0] - 1] < 2:
            yield f"estimator.draws={draws}: {name} needs at least 2 at site {numbers[0]}, the first that is binary"
    yield from _unfit_weights(cfg)
    if binary["eval"] != "mean" and binary["eval_draws"] > 1:
        yield (
            f"binary.eval_draws={binary['eval_draws']} has no effect with binary.eval={binary['eval']}; "
            "add binary.eval=mean"
        )
    yield from _misfits(cfg)
    for key, value in _floats(cfg):
        if not math.isfinite(value):
            yield f"{key}={value} is not a finite number"


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
            near: str | None = str(min(max(int(layer), 1), len(sites)))
        else:
            near = nearest(layer, [*words, *sites])
        hint = f" (did you mean {near}?)" if near else ""
        hint = f"; drop the quotes, binary.{key}={layer}" if layer.startswith("[") else hint
        yield (
            f"binary.{key}={layer} does not exist: model '{cfg['model']['name']}' has {len(sites)} {noun}; "
            f"choose {allowed}, a list of these, or {', '.join(words)}{hint}"
        )


def _unfit_weights(cfg: Config) -> Iterable[str]:
    """Settings of binary weights that contradict one another."""
    chosen, weight = chosen_weights(cfg), cfg.get("weight")
    if cfg["optimizer"]["name"] == "bop" and not chosen:
        yield "optimizer=bop flips binary weights, and binary.weights is null; write binary.weights=all"
    if not chosen:
        return
    if not weight:
        yield "binary.weights is given, and the group weight is not; write weight=bnn"
        return
    name = weight["estimator"]["name"]
    if name in SCORE_FUNCTIONS:
        yield (
            f"estimator@weight.estimator={name} weighs log-probabilities by each example's loss, and a weight's bit "
            "is shared by all examples; choose a pathwise rule, such as st_clipped"
        )
    if name in RELAXATIONS and weight["surrogate"] != "logistic":
        yield f"weight.surrogate={weight['surrogate']} reaches p = 0 and p = 1; {name} needs weight.surrogate=logistic"
    if name in RELAXATIONS and weight["mode"] == "deterministic":
        yield f"weight.mode=deterministic draws no bit, and {name} is about the draw; write weight.mode=stochastic"
    if cfg["optimizer"]["name"] == "bop" and name not in BOP_RULES:
        yield (
            f"estimator@weight.estimator={name} is about how far a latent weight is from 0, and with optimizer=bop "
            f"there is none: all stand at -1 and 1; choose {' or '.join(BOP_RULES)}"
        )
    if cfg["optimizer"]["name"] == "bop" and (weight["mode"], weight["scale"]) != ("deterministic", "none"):
        yield (
            f"optimizer=bop has no latent weights to draw from or to scale by; weight.mode={weight['mode']} and "
            f"weight.scale={weight['scale']} do not fit, write deterministic and none"
        )


def _misfits(cfg: Config) -> Iterable[str]:
    """Settings that do not fit the net, the data or the metrics that there are."""
    model = cfg["model"]
    fixed = FIXED_SITES.get(model["name"])
    if fixed and model["sites"] != fixed:
        yield f"model.sites={model['sites']} does not fit model '{model['name']}'; leave it at {fixed}"
    data, side, colours = cfg["dataset"], image_size(cfg), channels(cfg)
    known = data["name"] in OPTIONS["dataset"] and model["name"] in OPTIONS["model"]
    if model["name"] == "mlp" and data["name"] in OPTIONS["dataset"] and model["inputs"] != side**2 * colours:
        yield (
            f"model.inputs={model['inputs']} does not fit dataset '{data['name']}' of {side}x{side}; "
            f"write {side**2 * colours}"
        )
    if known and model.get("channels", 1) != colours and model["name"] != "mlp":
        yield (
            f"model '{model['name']}' takes images of {model.get('channels', 1)} channel(s), and dataset "
            f"'{data['name']}' has {colours}; choose model=bnn_convnet or bireal_resnet, and leave model.channels out"
        )
    if "image_size" in model and model["name"] in OPTIONS["model"] and model["image_size"] != side:
        yield f"model.image_size={model['image_size']} does not fit images of {side}x{side}; leave it out"
    yield from _too_many(data)
    if model["name"] == "mnist_cnn" and side != 28:
        yield f"dataset.image_size={side} does not fit model 'mnist_cnn', which takes 28x28; write 28"
    yield from _unfit_task(cfg["task"]["name"], data["name"], model["name"])
    if cfg["task"]["name"] == "few_shot" and any(
        str((node or {}).get("_target_")).endswith("GradientProbe") for node in cfg["callbacks"].values()
    ):
        yield "callbacks=probe measures the gradient of a classification loss; leave it out with task=few_shot"
    if cfg["task"]["name"] == "few_shot" and chosen_layers(cfg) and cfg["estimator"]["name"] == "bitflip":
        yield (
            "estimator=bitflip is right for one example at a time, and the drawings of an episode share losses; choose "
            "another score function, such as rloo or disarm"
        )
    if model["name"] in ENCODERS and "output" in chosen_layers(cfg):
        yield (
            f"binary.layer=output: model '{model['name']}' ends with an embedding, not with a classifier's output; "
            "write last for a binary embedding"
        )
    yield from _never_validated(cfg)
    yield from unfit_slope(cfg)
    yield from unfit_sizes(cfg)
    yield from unfit_checkpoints(cfg)
    for name, node in cfg["callbacks"].items():
        monitor = (node or {}).get("monitor")
        if monitor is not None and monitor not in METRICS:
            hint = did_you_mean(monitor, METRICS)
            yield f"callbacks.{name}.monitor={monitor} is not logged; choose {', '.join(METRICS)}{hint}"


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


def _too_many(data: Config) -> Iterable[str]:
    """More classes or drawings than the data set has; what depends on the split of the characters is known later."""
    name = data["name"]
    if name in ("omniglot", "glyphs"):
        turns, classes = len(data["rotations"]), data["classes"]
        there = NAMED_CLASSES["omniglot"]["all"] * turns if name == "omniglot" else classes
        if classes % turns or classes > there:
            yield (
                f"dataset.classes={classes} cannot be made of characters in {turns} rotations; give a multiple of "
                f"{turns}" + (f", at most {there}" if name == "omniglot" else "")
            )
        each = data.get("drawings_each", DRAWINGS)
        if data["validation"] + data["test"] >= each:
            yield (
                f"dataset.validation={data['validation']} and dataset.test={data['test']} leave nothing of the {each} "
                "drawings of a character to train on"
            )
    if name in EPISODES:
        each = data.get("drawings_each", DRAWINGS)
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


def _unfit_task(task: str, data: str, model: str) -> Iterable[str]:
    """Episodes, an encoder and few-shot learning go together; so do labelled images, a classifier and its task."""
    known = data in OPTIONS["dataset"], model in OPTIONS["model"], task in OPTIONS["task"]
    few = task == "few_shot"
    if known[0] and known[2] and (data in EPISODES) != few:
        wanted = " or ".join(EPISODES) if few else "omniglot or glyphs"
        yield f"dataset={data} does not fit task={task}; choose dataset={wanted}, or see +experiment=omniglot_fewshot"
    if known[1] and known[2] and (model in ENCODERS) != few:
        wanted = " or ".join(ENCODERS) if few else "omniglot_cnn"
        yield f"model={model} does not fit task={task}; choose model={wanted}"


def _floats(node: Any, path: str = "") -> Iterable[tuple[str, float]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _floats(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, float):
        yield path, node
