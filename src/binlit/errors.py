"""What is wrong with what was asked for, and what was probably meant. Nothing here imports torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """A setting is wrong; the message names it, what is allowed, and what was probably meant."""


def nearest(word: object, known: Iterable[object]) -> str | None:
    """The known word that was probably meant, or None."""
    found = difflib.get_close_matches(str(word), [str(one) for one in known], 1, cutoff=0.5)
    return found[0] if found else None


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """ " (did you mean X?)" to put behind a message; empty where nothing comes near."""
    near = nearest(word, known)
    return f" (did you mean {near}?)" if near else ""
