"""What makes a run the run that it is: its row in the table, and the fingerprint of all that decides its outcome."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from binlit.callbacks.options import chosen_by, keeps_checkpoints, only_watches
from binlit.catalogue import GROUPS, Config, packaged
from binlit.config.layers import chosen_layers, chosen_weights
from binlit.config.schema import Binary

VERSION = 2  # of what a fingerprint is made of; version 1 had none before it; see `binlit.config.versions`

# Settings that change where a run lands, how fast it is or what it shows, but not its result.
WITHOUT_EFFECT = ("name", "threads", "output_dir", "data_dir", "resume", "logger", "row", "passes", "own")
WITHOUT_EFFECT_IN = {
    "dataset": ("data_dir", "download"),
    "trainer": ("log_every_n_steps", "enable_progress_bar", "enable_model_summary", "num_sanity_val_steps"),
}
NONE = "none"


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
    """How the weights are made binary, in a word; with the gradient rule where it is not the option's own."""
    weight, optimizer = cfg["weight"], packaged("optimizer").get(cfg["optimizer"]["name"])
    name = optimizer.name if optimizer and optimizer.facts.flips else str(weight["name"])
    rule, known = weight["estimator"]["name"], packaged("weight").get(weight["name"])
    return name if known and rule == known.facts.rule else f"{name}, {rule}"


def decisive(cfg: Config) -> Config:
    """The part of the config that decides the outcome, settings without effect left out."""
    cfg = {k: dict(v) if isinstance(v, dict) else v for k, v in cfg.items() if k not in WITHOUT_EFFECT}
    last = chosen_by(cfg) is None
    cfg["callbacks"] = {name: node for name, node in cfg["callbacks"].items() if not _is_plain_callback(node)}
    if last:
        cfg["callbacks"]["tested"] = "last epoch"
    if not cfg["callbacks"]:
        del cfg["callbacks"]
    for group, keys in WITHOUT_EFFECT_IN.items():
        cfg[group] = {key: value for key, value in cfg[group].items() if key not in keys}
    cfg["binary"]["layer"] = chosen_layers(cfg)
    weights, weight = chosen_weights(cfg), cfg.pop("weight", None)
    cfg["binary"].pop("weights", None)
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
    """Whether a callback only watches, or chooses the tested epoch as every run does by default."""
    if node is None or only_watches(node):
        return True
    if not keeps_checkpoints(node):
        return False
    return node.get("monitor") is None or (node["monitor"] == "val/loss" and node.get("mode", "min") == "min")


def fingerprint(cfg: Config) -> str:
    """The version and 16 hexadecimal digits: equal for two configs exactly where one outcome is expected of both.

    A setting that stands at its option's default is left out. So one that is added to an option leaves the
    fingerprints of the runs that came before it as they were.
    """
    told: Config = {}
    for group, node in decisive(cfg).items():
        if not isinstance(node, dict):
            told[group] = node
        elif group == "binary":
            usual = {key: field.default for key, field in Binary.model_fields.items()}
            told[group] = {key: value for key, value in node.items() if usual[key] != value}
        else:
            told[group] = _telling(group, node) if group in GROUPS else node
    text = json.dumps(same_numbers(told), sort_keys=True)
    return f"{VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def version_of(print_of: str) -> int:
    """The version of a fingerprint."""
    version, dash, _ = print_of.partition("-")
    return int(version) if dash and version.isdecimal() else 1


def _telling(group: str, node: Config) -> Config:
    """The settings of an option by which it differs from what conf/ has; all of one that is not binlit's."""
    one = packaged(group).get(node["name"])
    if one is None:
        return node
    told, stated = {}, {"_target_", "_partial_", *one.derived}
    for key, value in node.items():
        inner = _telling(key, value) if isinstance(value, dict) and key in GROUPS else value
        if key not in stated and one.defaults.get(key, ...) != value:
            told[key] = inner
    return told


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value) of every setting, such as ("optimizer.lr", 0.1)."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def same_numbers(node: Any) -> Any:
    """1.0 as 1: they are one value however they were written."""
    if isinstance(node, dict):
        return {key: same_numbers(value) for key, value in node.items()}
    if isinstance(node, list):
        return [same_numbers(value) for value in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


def short(print_of: str) -> str:
    """Eight digits of a fingerprint, which distinguish folders."""
    return print_of.rpartition("-")[2][:8]


def run_folder(cfg: Config) -> str:
    """Name of the run's folder, such as `layer-2_stochastic_st_seed-0_5f0c9a1e` (no `=`: Hydra reads it back)."""
    row = row_of(cfg)
    parts = [f"layer-{row['layer']}"]
    parts += [f"share-{row['share']}"] if "share" in row else []
    parts += [f"weights-{row['weights']}-{row['weight'].replace(', ', '-')}"] if "weights" in row else []
    if row["layer"] != NONE:
        parts += [row["mode"], row["estimator"]] + ([row["anneal"]] if row["anneal"] != NONE else [])
    parts += [f"seed-{cfg['seed']}", short(fingerprint(cfg))]
    return "_".join(part.replace("/", "-") for part in parts)
