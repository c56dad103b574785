"""Configs that earlier versions saved, in the words of this one."""

from __future__ import annotations

from typing import Any

from binlit.catalogue import GROUPS, Config, packaged
from binlit.config.schema import Binary

MOVED = "binlit.task."  # where the callbacks were that are in binlit.callbacks now
OTHER_NAMES = {"hard_tanh": "hard_sigmoid"}  # of surrogates: the bit of one is that of the other


def up_to_date(cfg: Config) -> Config:
    """The config with names as they are now, and settings that came later at their defaults.

    One of this version comes out as it is, but for other names of the same thing. `cfg` has passed the schema's top
    level, or was saved by a run.
    """
    cfg = dict(cfg)
    cfg["callbacks"] = {name: _renamed(node) for name, node in cfg["callbacks"].items()}
    later = {key: field.default for key, field in Binary.model_fields.items() if not field.is_required()}
    cfg["binary"] = _same_surrogate(later | cfg["binary"])
    for group in GROUPS:
        if isinstance(node := cfg.get(group), dict):
            cfg[group] = _filled(group, node)
    if (weight := cfg.get("weight")) and isinstance(weight.get("estimator"), dict):
        cfg["weight"] = weight | {"estimator": _filled("estimator", weight["estimator"])}
    return cfg


def _filled(group: str, node: Config) -> Config:
    one = packaged(group).get(str(node.get("name")))
    missing = {} if one is None else {key: value for key, value in one.plain.items() if key not in node}
    return _same_surrogate(node | missing)


def _same_surrogate(node: Config) -> Config:
    name: Any = node.get("surrogate")
    return node | {"surrogate": OTHER_NAMES[name]} if isinstance(name, str) and name in OTHER_NAMES else node


def _renamed(node: Config | None) -> Config | None:
    target = str((node or {}).get("_target_"))
    if node is None or not target.startswith(MOVED):
        return node
    return node | {"_target_": f"binlit.callbacks.{target.removeprefix(MOVED)}"}
