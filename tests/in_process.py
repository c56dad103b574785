"""A command in this process, as `python -m binlit.COMMAND` would run it."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterable
from typing import Any
from unittest import mock

from binlit.catalogue import Config
from binlit.command.entry import run_hydra
from binlit.config import check
from binlit.errors import ConfigError


def exit_status(main: Callable[[], Any], words: Iterable[str]) -> int:
    """That of a command's `main` with these words."""
    with mock.patch.object(sys, "argv", ["binlit", *words]):
        try:
            return int(main() or 0)
        except SystemExit as ended:
            return int(ended.code or 0)


def composed(words: Iterable[str]) -> Config:
    """The checked config that a command makes of these words.

    Raises:
        ConfigError: with what the command says, where it refuses them.
    """
    found, said = list[Config](), io.StringIO()
    with contextlib.redirect_stderr(said):
        status = exit_status(lambda: run_hydra(lambda cfg: found.append(check(cfg)), "summary"), words)
    if status:
        raise ConfigError(said.getvalue().removeprefix("binlit: ").rstrip())
    return found[0]
