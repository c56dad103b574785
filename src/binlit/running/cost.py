"""What a run would hold in memory, and how often images would go through its net: an estimate, before it starts.

Whatever is not binlit's own is left out, so that the estimate errs on the low side.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from itertools import pairwise

from binlit.catalogue import Config, packaged
from binlit.config.layers import chosen_layers
from binlit.dataset.sizes import Part, channels, image_size, parts

WRITTEN = 32_460  # drawings, where a data set of episodes does not say how many it has: Omniglot's
LARGEST = 1e10  # images through the net: at 5,000 a second, three weeks


def copies(cfg: Config) -> int:
    """How many times a batch is repeated behind the last site, by a score function's draws."""
    estimator, layers = cfg["estimator"], len(chosen_layers(cfg))
    if not layers:
        return 1
    if "groups" in estimator:  # two lanes each, opened by each site for each lane that it meets
        each = estimator["groups"]
        return math.prod(2 * count for count in (each if isinstance(each, list) else [each] * layers))
    each = estimator.get("draws", 1)
    return math.prod(each) if isinstance(each, list) else each


def too_large(cfg: Config, training: bool = True) -> Iterable[str]:
    """A run, or the test alone, that would not end in weeks, or that this machine's memory does not hold."""
    found, draws, epochs = parts(cfg["dataset"]), cfg["binary"]["eval_draws"], cfg["trainer"].get("max_epochs", 1)
    epochs = epochs if training else 0
    trainer = cfg["trainer"]
    if not found or trainer.get("fast_dev_run"):
        return
    seen = {key: part.seen(trainer.get(f"limit_{key}_batches")) for key, part in found.items()}
    passes = epochs * (seen["train"] * copies(cfg) + seen["val"] * draws) + seen["test"] * draws
    if passes > LARGEST:
        yield (
            f"this run would take {passes:.1e} images through its net, weeks of work: trainer.max_epochs={epochs}, "
            f"{seen['train']:,} images an epoch in {copies(cfg):,} copies, {seen['val']:,} in validation, "
            f"{seen['test']:,} in the test, binary.eval_draws={draws}; ask for less"
        )
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needs = memory(cfg, found)
    largest = max(needs, key=lambda name: needs[name])
    if sum(needs.values()) > have:
        yield (
            f"this run needs about {sum(needs.values()) / 1e9:,.0f} GB, and this machine has {have / 1e9:,.0f}: most "
            f"goes to {largest}; make that smaller"
        )


def memory(cfg: Config, found: dict[str, Part]) -> dict[str, float]:
    """Bytes, by what they are for."""
    data, side, colours = cfg["dataset"], image_size(cfg["dataset"]), channels(cfg["dataset"])
    stored = sum(part.items for part in found.values())
    if "train_way" in data:
        own = (data.get("characters", 0) + data.get("evaluation", 0)) * data.get("drawings_each", 0)
        stored = (own or WRITTEN) * len(data["rotations"])
    weights, units = net_size(cfg["model"], side, colours)
    train, test = (min(found[key].batch, found[key].items) * found[key].images for key in ("train", "val"))
    return {
        f"the data ({stored:,} images of {side}x{side})": float(stored * side * side * colours),
        f"the net ({weights:,} weights, their gradients and moments)": 16.0 * weights,
        f"a batch of training ({train:,} images in {copies(cfg):,} copies)": 8.0 * train * copies(cfg) * units,
        f"a batch of evaluation ({test:,} images)": 4.0 * test * units,
    }


def net_size(model: Config, side: int, colours: int) -> tuple[int, int]:
    """Roughly: the weights of a net, and the activations that it makes of one image; nothing of a net of the user's."""
    if model["name"] not in packaged("model"):
        return 0, 0
    pixels = side * side
    if "inputs" in model:
        widths = [model["inputs"], *model["hidden"], model["classes"]]
        return sum(a * b for a, b in pairwise(widths)), sum(widths)
    if "widths" in model:
        widths = [model["widths"][0], *model["widths"]]
        return sum(9 * b * (a + b) for a, b in pairwise(widths)), 2 * sum(widths) * pixels
    if "width" in model:
        width, hidden = model["width"], model["hidden"]
        linear = 4 * width * (side // 8) ** 2 * hidden + hidden * hidden
        return 9 * width * (colours + 31 * width) + linear, 4 * width * pixels
    return 0, 32 * pixels + model.get("classes", 0)
