"""The note in a run's folder of the jobs that its training serves too. Free of torch."""

from __future__ import annotations

import json
import os
from pathlib import Path

from binlit.catalogue import Config
from binlit.paths import COMPANIONS
from binlit.results.folder import usable, write_over


def name_companions(folder: Path, those: list[tuple[str, Config]]) -> None:
    """Notes, in the folder of a run that is to be trained, whose training it is too.

    Args:
        those: the name of the folder beside it, and the config of each.

    Raises:
        FolderError: the folder cannot be written.
    """
    if not those and not os.path.lexists(folder / COMPANIONS):
        return
    with usable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        named = [{"folder": name, "config": cfg} for name, cfg in those]
        write_over(folder / COMPANIONS, json.dumps(named, indent=1) + "\n")
