"""The colours that pictures give to families of estimators."""

from __future__ import annotations

from binlit.catalogue import packaged

_COLOURS = ("tab:blue", "tab:cyan", "tab:purple", "tab:red", "tab:orange", "tab:green", "tab:olive")


def family(estimator: str) -> str:
    """The family that an estimator belongs to; "own" for one that is not binlit's."""
    known = packaged("estimator").get(estimator)
    return known.facts.family if known else "own"


def unbiased(group: str) -> bool:
    """Whether a family's estimators are right on average: those that weigh log-probabilities by losses."""
    kinds = {one.facts.family: one.facts.kind for one in packaged("estimator").values()}
    return kinds.get(group) == "score_function"


def colour(estimator: str) -> str:
    """A matplotlib colour, the same for all of a family; black for no estimator at all."""
    if estimator == "none":
        return "black"
    families = list(dict.fromkeys(one.facts.family for one in packaged("estimator").values()))
    return dict(zip(families, _COLOURS, strict=False)).get(family(estimator), "tab:brown")
