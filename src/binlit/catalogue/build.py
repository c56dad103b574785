"""The object that an option names."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from hydra.utils import get_object, instantiate

from binlit.catalogue.options import GROUPS
from binlit.errors import ConfigError, nearest


def build(node: dict[str, Any], without: tuple[str, ...] = ("name",), **extra: Any) -> Any:
    """The object of one option: its `_target_` called with its keys less `without`, or left to be called (`_partial_`).

    Hydra's instantiate is used for what is nested inside only: it turns objects among its arguments into configs.

    Raises:
        ConfigError: there is no such class, or the class refuses a key or a value.
    """
    if node.get("_target_") is None:
        return None
    keys = {key: value for key, value in node.items() if key not in ("_target_", "_partial_", *without)}
    keys = {
        key: instantiate(value) if isinstance(value, dict) and "_target_" in value else value
        for key, value in keys.items()
    }
    try:
        target = get_object(node["_target_"])
        return partial(target, **keys, **extra) if node.get("_partial_") else target(**keys, **extra)
    except Exception as error:
        refused = isinstance(error, TypeError | ValueError | ImportError)
        if not refused and type(error).__name__ != "MisconfigurationException":  # Lightning's, not imported for this
            raise
        said = " ".join(str(error).split())
        if found := re.search(r"unexpected keyword argument '(\w+)'", said):
            facts = {name for group in GROUPS.values() for name in group.model_fields}
            near = nearest(found[1], facts)
            said += f"; did you mean {near}, which its YAML may state?" if near else "; leave it out of its YAML"
        raise ConfigError(f"{node['_target_']}: {said[:400]}") from error
