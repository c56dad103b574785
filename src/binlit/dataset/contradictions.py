"""Settings of a data set that do not go together. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable

from binlit.catalogue import Config, Option
from binlit.dataset.sizes import batches, limited, parts


def contradictions(data: Config, one: Option, trainer: Config) -> Iterable[str]:
    """What the data set does not have, and parts of it that are empty."""
    yield from _too_many(data, one)
    yield from _empty(data, trainer)


def _too_many(data: Config, one: Option) -> Iterable[str]:
    """More classes or drawings than the data set has; what depends on the split of the characters is known later."""
    each = data.get("drawings_each", getattr(one.facts, "drawings", None))
    if each is None:
        return
    if one.facts.gives == "labels":
        turns, classes = len(data["rotations"]), data["classes"]
        there = max(one.facts.named_classes.values()) * turns if one.facts.named_classes else classes
        if classes % turns or classes > there:
            yield (
                f"dataset.classes={classes} cannot be made of characters in {turns} rotations; give a multiple of "
                f"{turns}" + (f", at most {there}" if one.facts.named_classes else "")
            )
        if data["validation"] + data["test"] >= each:
            yield (
                f"dataset.validation={data['validation']} and dataset.test={data['test']} leave nothing of the {each} "
                "drawings of a character to train on"
            )
        return
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


def _empty(data: Config, trainer: Config) -> Iterable[str]:
    """Parts of the data that are empty, or of which a limit leaves no batch."""
    found = parts(data)
    if not found:
        return
    if found["train"].items < 1:
        yield (
            f"dataset.validation={data['validation']} leaves nothing to train on of the "
            f"{found['val'].items + found['train'].items:,}; give a smaller number"
        )
        return
    for key, part in found.items():
        limit = trainer.get(f"limit_{key}_batches")
        if limited(part, limit) < 1 and not trainer.get("fast_dev_run"):
            yield (
                f"trainer.limit_{key}_batches={limit} is a share of {batches(part)} batches, and leaves none; give an "
                f"integer, or a share of at least {1 / batches(part):.2g}"
            )
