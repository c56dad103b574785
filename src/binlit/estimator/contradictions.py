"""Settings of the binary layers that do not fit the estimator. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from binlit.catalogue import Config, Option

KINDS = {"score_function": "a score function", "relaxation": "a relaxation"}


def contradictions(
    node: Config, estimator: Option, binary: Config, layers: Sequence[str], sites: Sequence[str]
) -> Iterable[str]:
    """Settings of the binary layers that do not fit the estimator.

    Args:
        node, estimator: its settings, and what it is.
        binary: the settings of the units.
        layers: canonical names of the binary layers, of which there is one at least.
        sites: the net's sites.
    """
    name, kind = estimator.name, estimator.facts.kind
    if kind in KINDS and binary["surrogate"] != "logistic":
        yield (
            f"binary.surrogate={binary['surrogate']} reaches p = 0 and p = 1, where log p is infinite; "
            f"estimator={name} is {KINDS[kind]} and needs binary.surrogate=logistic"
        )
    if kind == "relaxation" and binary["mode"] == "deterministic":
        yield (
            f"binary.mode=deterministic draws no bit, and estimator={name} is about the draw; write "
            "binary.mode=stochastic, with binary.eval=threshold for thresholded bits at test time"
        )
    key = estimator.facts.per_site
    counts = node.get(key)
    if counts is None:
        return
    numbers = [int(layer) for layer in layers if layer.isdecimal()]
    each = counts if isinstance(counts, list) and len(counts) > 1 else None
    if each and len(each) != len(sites):
        yield f"estimator.{key}={counts} must have one count for each of the {len(sites)} sites, or be one integer"
    elif each and "output" in layers:
        yield f"estimator.{key}={counts} has no count for the output; give one integer"
    elif each and node.get("repeat_at") == "input":
        yield f"estimator.{key}={counts} with repeat_at=input: all sites share one count, give one"
    else:
        first = each[numbers[0] - 1] if each and numbers else counts[0] if isinstance(counts, list) else counts
        if first < estimator.facts.fewest_draws:
            where = f" at site {numbers[0]}, the first that is binary" if each and numbers else ""
            yield (
                f"estimator.{key}={counts}: {name} needs at least {estimator.facts.fewest_draws}{where}: there must be "
                "something to compare with"
            )
