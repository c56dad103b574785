"""Families of estimators, and the colours that pictures give them."""

from __future__ import annotations

FAMILIES: dict[str, tuple[str, ...]] = {
    "straight-through": ("st", "st_identity", "st_clipped", "st_sigmoid"),
    "shaped": ("approx_sign", "swish_sign", "ede", "reste"),
    "relaxed": ("concrete", "st_gumbel", "gumbel_rao", "gapped_st", "decoupled_st", "reinmax"),
    "detached": ("detached",),
    "score function": ("reinforce", "nvil", "rloo"),
    "control variate": ("muprop", "rebar", "relax"),
    "coupled": ("arm", "disarm", "arms", "bitflip"),
}
UNBIASED = ("score function", "control variate", "coupled")
_COLOURS = ("tab:blue", "tab:cyan", "tab:purple", "tab:red", "tab:orange", "tab:green", "tab:olive")


def family(estimator: str) -> str:
    """The family that an estimator belongs to; "own" for one that is not binlit's."""
    return next((name for name, members in FAMILIES.items() if estimator in members), "own")


def colour(estimator: str) -> str:
    """A matplotlib colour, the same for all of a family; black for no estimator at all."""
    if estimator == "none":
        return "black"
    return dict(zip(FAMILIES, _COLOURS, strict=True)).get(family(estimator), "tab:brown")
