"""Which layers a user's words mean: one grammar, for the command line and for Python. Free of torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache

Layers = int | str | Sequence[int | str] | None

OUTPUT = "output"  # the site after the classifier: possible, never part of "all", and warned of
WORDS = ("first", "last", "inner", "all")


def no_layer(layers: object) -> bool:
    """Whether the words say that nothing is to be binary."""
    return layers is None or layers == "none" or layers == [] or layers == ()


def canonical(layers: Layers, sites: Sequence[str], modules: Collection[str] = ()) -> list[int | str]:
    """What the words mean: numbers of sites in order, counted from 1, then other names; each once.

    A site's name means its number. What means no site (a number that is too large, a module's name, `output`) is
    returned as it is, for whoever knows the net to take or refuse.

    Args:
        layers: a number, a site's name, `first`, `last`, `inner` (all but these two), `all`, or a list of such.
        sites: the net's sites, in order.
        modules: names that mean themselves although they are digits.
    """
    if no_layer(layers):
        return []
    entries = (layers,) if isinstance(layers, int | str) else tuple(layers or ())
    return list(_canonical(entries, tuple(map(type, entries)), tuple(sites), frozenset(modules)))


@cache
def _canonical(
    entries: tuple[int | str, ...], _types: tuple[type, ...], sites: tuple[str, ...], modules: frozenset[str]
) -> tuple[int | str, ...]:
    """As `canonical`; the types keep 1 and True apart."""
    numbers = {site: number for number, site in enumerate(sites, 1)}
    found = {one for entry in entries for one in _meant(entry, numbers, modules)}
    return tuple(sorted(found, key=lambda one: (isinstance(one, str), one if isinstance(one, int) else 0, str(one))))


def _meant(entry: int | str, numbers: dict[str, int], modules: frozenset[str]) -> Iterable[int | str]:
    if not isinstance(entry, str):
        return [str(entry) if isinstance(entry, bool) else entry]
    if entry in numbers:
        return [numbers[entry]]
    every = range(1, len(numbers) + 1)
    words = {"all": every, "inner": every[1:-1], "first": every[:1], "last": every[-1:]}
    if entry in words:
        return words[entry]
    return [int(entry)] if is_number(entry) and entry not in modules else [entry]


def is_number(name: str) -> bool:
    """Whether a layer is given by its number (plain digits)."""
    return name.isascii() and name.isdecimal()
