"""The layers that a composed config makes binary, in canonical names. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from binlit.binary.layers import canonical
from binlit.catalogue import Config, expand


def chosen_layers(cfg: Config) -> list[str]:
    """Canonical names of the binary layers: site numbers as strings in order, then `output` or modules by name."""
    return [str(layer) for layer in canonical(cfg["binary"]["layer"], cfg["model"]["sites"])]


def chosen_weights(cfg: Config) -> list[str]:
    """Canonical names of the layers with binary weights, as `chosen_layers` has them."""
    return [str(layer) for layer in canonical(cfg["binary"].get("weights"), cfg["model"].get("layers", []))]


def binary_embedding(cfg: Any) -> bool:
    """Whether the net's last site is binary, however that is written, with all its channels.

    `cfg` need not have been checked.
    """
    layer, sites = cfg["binary"]["layer"], expand(cfg["model"]["sites"], cfg["model"])
    layer = list(layer) if isinstance(layer, Sequence) and not isinstance(layer, str) else layer
    return len(sites) in canonical(layer, sites) and cfg["binary"].get("share", 1) == 1
