"""What is wrong with what was asked for, what was probably meant, and how it is said. Nothing here imports torch."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable


class ConfigError(ValueError):
    """A setting is wrong; the message names it, what is allowed, and what was probably meant."""


def nearest(word: object, known: Iterable[object]) -> str | None:
    """The known word that was probably meant, or None: the one that ends or starts with it, else the most alike."""
    word, words = str(word), [str(one) for one in known]
    whole = [one for one in words if word and (one.endswith(f".{word}") or one.startswith(f"{word}."))]
    lower = [one for one in words if one.lower() == word.lower()]
    found = lower or whole or difflib.get_close_matches(word, words, 1, cutoff=0.5)
    return found[0] if found else None


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """` (did you mean X?)` for the end of a message; empty where no name is near."""
    near = nearest(word, known)
    return f" (did you mean {near}?)" if near else ""


def complain(message: object) -> None:
    """The message on standard error, red in a terminal."""
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}binlit: {message}{plain}", file=sys.stderr)
