"""What makes a run the run that it is: its row in the table, and the fingerprint of all that decides its outcome."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

from binlit.config.read import Config, chosen_by, chosen_layers, chosen_weights, keeps_checkpoints

# Settings that change where a run lands, how fast it is or what it shows, but not its result.
WITHOUT_EFFECT = ("name", "threads", "output_dir", "data_dir", "resume", "logger", "row", "passes", "own")
WITHOUT_EFFECT_IN = {
    "dataset": ("data_dir", "download"),
    "trainer": ("log_every_n_steps", "enable_progress_bar", "enable_model_summary", "num_sanity_val_steps"),
}
NONE = "none"
WATCHERS = tuple(f"binlit.task.{name}" for name in ("SiteMonitor", "WeightMonitor", "GradientProbe"))
# Settings that came when there were records already: at their default a run is what it was without them.
ADDED_LATER = (
    ("binary", "share", 1),
    ("task", "scale", None),
    ("task", "loss", "cross_entropy"),
    ("optimizer", "fused", None),
    ("model", "norm", NONE),
    ("model", "dropout", 0),
    ("model", "input_dropout", 0),
)
# hard_tanh is another name of hard_sigmoid: these estimators' records bear it, all others the latter
NAMED_HARD_TANH = ("st_clipped", "approx_sign", "swish_sign", "ede", "reste")


def row_of(cfg: Config) -> dict[str, Any]:
    """The row's keys: layer ("none", "1", "1+3", "all", ...), mode, estimator, anneal, and what `row` adds.

    Where no layer is binary, mode, estimator and anneal are "none": they have no effect. Where weights are binary,
    `weights` says which, and `weight` how.
    """
    layers, weights = chosen_layers(cfg), chosen_weights(cfg)
    added: Config = {}
    if weights:
        known = cfg["model"].get("layers", [])
        inner = len(known) > 3 and weights == [str(i) for i in range(2, len(known))]
        added = {"weights": "inner" if inner else _together(weights, known), "weight": weight_name(cfg)}
    if not layers:
        rest = {key: value for key, value in cfg["row"].items() if key != "threshold"}  # not in force
        return {"layer": NONE, "mode": NONE, "estimator": NONE, "anneal": NONE, **added, **rest}
    if cfg["binary"].get("share", 1) < 1:
        added["share"] = cfg["binary"]["share"]
    return {
        "layer": _together(layers, cfg["model"]["sites"]),
        "mode": cfg["binary"]["mode"],
        "estimator": cfg["estimator"]["name"],
        "anneal": cfg["anneal"]["name"],
        **added,
        **cfg["row"],
    }


def _together(layers: list[str], known: list[str]) -> str:
    everything = len(known) > 1 and layers == [str(i) for i in range(1, len(known) + 1)]
    return "all" if everything else "+".join(layers)


def weight_name(cfg: Config) -> str:
    """How the weights are made binary, in a word; with the gradient rule where it is not Algorithm 1's."""
    rule = cfg["weight"]["estimator"]["name"]
    name = str(cfg["weight"]["name"])
    name = "bop" if cfg["optimizer"]["name"] == "bop" else name
    return name if rule == "st_clipped" else f"{name}, {rule}"


def decisive(cfg: Config) -> Config:
    """The part of the config that decides the outcome, settings without effect left out."""
    cfg = copy.deepcopy({key: value for key, value in cfg.items() if key not in WITHOUT_EFFECT})
    last = chosen_by(cfg) is None
    cfg["callbacks"] = {name: node for name, node in cfg["callbacks"].items() if not _is_plain_callback(node)}
    if last:
        cfg["callbacks"]["tested"] = "last epoch"
    if not cfg["callbacks"]:
        del cfg["callbacks"]
    for group, keys in WITHOUT_EFFECT_IN.items():
        cfg[group] = {key: value for key, value in cfg[group].items() if key not in keys}
    cfg["binary"]["layer"] = chosen_layers(cfg)
    for group, key, default in ADDED_LATER:
        if cfg.get(group, {}).get(key, ...) == default:
            del cfg[group][key]
    if cfg["dataset"]["name"] in ("mnist", "fashion_mnist", "digits") and cfg["dataset"].get("image_size") == 28:
        del cfg["dataset"]["image_size"]  # added later as well; the drawings had it from the start
    for how in (cfg, cfg.get("weight") or {}):
        for part in (how.get("binary", how), how.get("estimator", {})):
            if part.get("surrogate") in ("hard_sigmoid", "hard_tanh"):
                part["surrogate"] = "hard_tanh" if how["estimator"]["name"] in NAMED_HARD_TANH else "hard_sigmoid"
    weights = chosen_weights(cfg)
    cfg["binary"].pop("weights", None)
    weight = cfg.pop("weight", None)
    cfg["model"].pop("layers", None)
    draws = cfg["binary"].get("eval_draws", 1)
    if not cfg["binary"]["layer"]:
        cfg["binary"], cfg["estimator"], cfg["anneal"] = NONE, NONE, NONE
    if not weights:
        return cfg
    cfg |= {"weights": weights, "weight": weight}
    # weights that are drawn at test time are averaged over as many draws as bits would be
    return cfg | ({"eval_draws": draws} if draws > 1 and weight is not None and weight["eval"] == "sample" else {})


def _is_plain_callback(node: dict[str, Any] | None) -> bool:
    """Whether a callback only watches, or chooses the tested epoch as every run does unless told otherwise."""
    if node is None or node.get("_target_") in WATCHERS:
        return True
    if not keeps_checkpoints(node):
        return False
    return node.get("monitor") is None or (node["monitor"] == "val/loss" and node.get("mode", "min") == "min")


def fingerprint(cfg: Config) -> str:
    """16 hexadecimal digits: equal for two configs exactly where one outcome is expected of both."""
    text = json.dumps(decisive(cfg), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_folder(cfg: Config) -> str:
    """Name of the run's folder, such as `layer-2_stochastic_st_seed-0_5f0c9a1e` (no `=`: Hydra reads it back)."""
    row = row_of(cfg)
    parts = [f"layer-{row['layer']}"]
    parts += [f"share-{row['share']}"] if "share" in row else []
    parts += [f"weights-{row['weights']}-{row['weight'].replace(', ', '-')}"] if "weights" in row else []
    if row["layer"] != NONE:
        parts += [row["mode"], row["estimator"]] + ([row["anneal"]] if row["anneal"] != NONE else [])
    parts += [f"seed-{cfg['seed']}", fingerprint(cfg)[:8]]
    return "_".join(part.replace("/", "-") for part in parts)
