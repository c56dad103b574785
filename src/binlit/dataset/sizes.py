"""How many images and episodes a data set's settings come to, and of what shape. Free of torch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from binlit.catalogue import Config, packaged


def image_size(data: Config) -> int:
    """Side of the data set's images in pixels."""
    return data.get("image_size", 28)


def channels(data: Config) -> int:
    """Channels of the data set's images."""
    return data.get("channels", 1)


class Part(NamedTuple):
    """One of training, validation and test: how many items (images, or episodes), in batches of `batch`."""

    items: int
    batch: int
    images: int = 1  # of an item

    def seen(self, limit: Any) -> int:
        """Images that go through the net, with limit_*_batches."""
        return min(self.items, limited(self, limit) * self.batch) * self.images


def batches(part: Part) -> int:
    return max(1, math.ceil(part.items / part.batch))


def limited(part: Part, limit: Any) -> int:
    """Batches that Lightning runs: an integer is a number of them, a float a share."""
    if limit is None:
        return batches(part)
    return int(batches(part) * limit) if isinstance(limit, float) else min(limit, batches(part))


def parts(data: Config) -> dict[str, Part] | None:
    """{"train", "val", "test"} of a data set whose size is stated; None for others."""
    known = packaged("dataset").get(data["name"])
    if known is None:
        return None
    facts, batch, evaluated = known.facts, data.get("batch_size", 1), data.get("eval_batch_size", 1)
    if "train_way" in data:
        each = data["way"] * (data["shot"] + data["query"])
        tests = each + sum(way * (shot + data["query"]) for way, shot in data["also"])
        trained = data["train_way"] * (data["train_shot"] + data["train_query"])
        return {
            "train": Part(data["episodes"], batch, trained),
            "val": Part(data["val_episodes"], evaluated, each),
            "test": Part(data["test_episodes"], evaluated, tests),
        }
    each = data.get("drawings_each", facts.drawings)
    if facts.stored:
        whole, test = facts.stored
        sizes = whole - data["validation"], data["validation"], test
    elif each:
        held = data["validation"], data["test"]
        sizes = tuple(data["classes"] * count for count in (each - sum(held), *held))
    else:
        return None
    return {
        key: Part(size, batch if key == "train" else evaluated)
        for key, size in zip(("train", "val", "test"), sizes, strict=True)
    }
