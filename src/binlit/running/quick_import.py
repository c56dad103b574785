"""The import of torch and Lightning, most of a command's start, made shorter."""

from __future__ import annotations

import atexit
import gc
import sys


def load_libraries() -> None:
    """Imports torch and Lightning with Python's garbage collector off, and keeps what they made out of its rounds.

    The import makes a million objects, all to stay, which the collector would look through again and again: with this a
    start takes a fifth less. At the end they are given back to it, so that extensions are taken down in their order.
    """
    if "binlit.running.build" in sys.modules:
        return
    running = gc.isenabled()
    gc.disable()
    try:
        import binlit.running.build  # noqa: F401
    finally:
        if running:
            gc.enable()
    gc.freeze()
    atexit.register(gc.unfreeze)
