"""A schedule that comes to a slope with which nothing is learned. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hydra.utils import get_class

from binlit.catalogue import Config


def contradictions(node: Config, epochs: int) -> Iterable[str]:
    """A slope that grows or shrinks beyond any use before the last epoch; a user's own schedules are not checked."""
    if not str(node["_target_"]).startswith("binlit.anneal."):
        return
    keys = {key: value for key, value in node.items() if key not in ("name", "_target_")}
    try:
        slope = get_class(node["_target_"])(**keys).slope(epochs)
    except OverflowError:
        slope = math.inf
    if not 1e-4 <= slope <= 1e4:
        said = ", ".join(f"anneal.{key}={value}" for key, value in keys.items())
        yield (
            f"{said} come to a slope of {slope:.1e} in epoch {epochs}, with which nothing is learned; give smaller "
            "steps, or fewer epochs"
        )
