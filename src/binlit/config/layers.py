"""What a composed config says: its layers in canonical names, the shape of its images. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from binlit.catalogue import expand
from binlit.errors import ConfigError as ConfigError
from binlit.errors import did_you_mean as did_you_mean
from binlit.errors import nearest as nearest

Config = dict[str, Any]


def chosen_layers(cfg: Config) -> list[str]:
    """Canonical names of the binary layers: site numbers as strings in order, then `output` or modules by name."""
    return _chosen(cfg["binary"]["layer"], cfg["model"]["sites"])


def binary_embedding(cfg: Any) -> bool:
    """Whether the net's last site is binary, however that is written, with all its channels.

    `cfg` need not have been checked.
    """
    layer, sites = cfg["binary"]["layer"], expand(cfg["model"]["sites"], cfg["model"])
    layer = list(layer) if isinstance(layer, Sequence) and not isinstance(layer, str) else layer
    return str(len(sites)) in _chosen(layer, sites) and cfg["binary"].get("share", 1) == 1


def for_estimator(cfg: Any, table: Any, default: Any) -> Any:
    """What `table` has for the chosen estimator's name, or for its kind; `default` where it has neither.

    Where no layer is binary it is the default: no estimator is at work. `cfg` need not have been checked.
    """
    if no_choice(cfg["binary"]["layer"]):
        return default
    chosen = cfg["estimator"]
    return next((table[key] for key in (chosen["name"], chosen.get("kind")) if key in table), default)


def draws_for(passes: Any, own: int, each: int) -> int | list[int]:
    """How many draws (or groups of draws) cost `passes` passes of the batch at `each` passes apiece; `own` for None.

    A list of passes, one count for each site, gives a list.
    """
    if passes is None:
        return own
    return max(1, passes // each) if isinstance(passes, int) else [max(1, count // each) for count in passes]


def scale_of_bits(cfg: Any, each: float) -> float | None:
    """The scale of squared distances at which two embeddings are `each` apart for a bit in which they differ.

    None where embeddings are not binary, or the distance is another. `cfg` need not have been checked.
    """
    if not binary_embedding(cfg) or cfg["task"].get("distance") != "squared_l2":
        return None
    return each / 4 if cfg["binary"]["levels"] == "pm1" else each  # -1 and 1 are 4 apart when squared, 0 and 1 are 1


def chosen_by(cfg: Config) -> str | None:
    """The validation metric by which the tested epoch is chosen; None where the last one is tested."""
    chooser = _chooser(cfg)
    return chooser["monitor"] if chooser else None


def keeps_checkpoints(callback: Config | None) -> bool:
    """Whether a callback keeps checkpoints; others may have a `monitor` too (EarlyStopping)."""
    return callback is not None and str(callback.get("_target_")).endswith(".ModelCheckpoint")


def tested_checkpoint(cfg: Config) -> str:
    """Name of the file that holds the tested epoch, in the run's `checkpoints`."""
    chooser = _chooser(cfg)
    return f"{chooser.get('filename') or 'best'}.ckpt" if chooser else "last.ckpt"


def _chooser(cfg: Config) -> Config | None:
    """The callback that chooses the tested epoch; None where the last one is tested."""
    kept = (node for node in cfg["callbacks"].values() if keeps_checkpoints(node))
    return next((node for node in kept if node.get("monitor")), None)


def chosen_weights(cfg: Config) -> list[str]:
    """Canonical names of the layers with binary weights, as `chosen_layers` has them."""
    return _chosen(cfg["binary"].get("weights"), cfg["model"].get("layers", []))


def no_choice(layer: Any) -> bool:
    """Whether binary.layer or binary.weights says that nothing is to be binary."""
    return layer is None or layer == "none" or layer == []


def _chosen(layer: int | str | list[int | str] | None, sites: list[str]) -> list[str]:
    count = len(sites)
    if no_choice(layer):
        return []
    entries = layer if isinstance(layer, list) else [layer]
    if "all" in entries:
        return [str(i) for i in range(1, count + 1)]
    numbers = {"first": "1", "last": str(count)} | {site: str(i) for i, site in enumerate(sites, 1)}
    names = {numbers.get(str(entry), str(entry)) for entry in entries}
    if "inner" in names:
        names = (names - {"inner"}) | {str(i) for i in range(2, count)}
    names = {str(int(name)) if is_number(name) else name for name in names}
    return sorted(names, key=lambda name: (not is_number(name), int(name) if is_number(name) else 0, name))


def is_number(name: str) -> bool:
    """Whether a layer is given by its number (plain digits)."""
    return name.isascii() and name.isdecimal()


def image_size(cfg: Config) -> int:
    """Side of the data set's images in pixels."""
    return cfg["dataset"].get("image_size", 28)


def channels(cfg: Config) -> int:
    """Channels of the data set's images."""
    return cfg["dataset"].get("channels", 1)
