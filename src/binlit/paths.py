"""Where things are."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
RECORD = "result.json"
MANIFEST = "sweep.json"
RECORDS = "records.jsonl"
EVALUATIONS = "evaluations.jsonl"
COMPANIONS = "companions.json"


def config_dir() -> Path:
    """conf/: inside the package when installed from a wheel, at the top of the repository when editable."""
    packed = PACKAGE / "conf"
    return packed if packed.is_dir() else PACKAGE.parents[1] / "conf"


def repository() -> Path | None:
    """The repository that this package is run from; None when installed."""
    top = PACKAGE.parents[1]
    return top if (top / ".git").exists() else None


def cache_dir() -> Path:
    """Where decoded data is kept: $BINLIT_CACHE_DIR, else binlit/ in the user's cache; it may be deleted."""
    if own := os.environ.get("BINLIT_CACHE_DIR"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "binlit"
