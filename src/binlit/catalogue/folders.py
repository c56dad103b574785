"""Which options conf/ and a user's own folders have, and which class each of ours names. Read from the files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from binlit.paths import config_dir


@cache
def groups() -> tuple[str, ...]:
    """Names of the groups in conf/, Hydra's own left out."""
    return tuple(sorted(path.name for path in config_dir().iterdir() if path.is_dir() and path.name != "hydra"))


def given_folders(sources: Iterable[Any] | None = None) -> list[Path]:
    """The user's own folders of options, given by -cd or in hydra.searchpath, once Hydra has read these.

    Args:
        sources: `hydra.runtime.config_sources` of a config; None for those of the config of this process.
    """
    if sources is None:
        sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    files = [Path(one.path) for one in sources if one.schema == "file"]
    return [folder for folder in files if folder != config_dir()]


def options_of(group: str, folders: Iterable[Path] = ()) -> list[str]:
    """Names of a group's options in conf/ and in `folders`."""
    found = [path.stem for folder in (config_dir(), *folders) for path in (folder / group).glob("*.yaml")]
    return sorted(set(found))


@cache
def targets_of(group: str) -> dict[str, str]:
    """{name: class} of the group's options in conf/ that build something."""
    found = {}
    for path in (config_dir() / group).glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        name, target = (re.search(rf"^{key}: *([\w.]+)", text, re.MULTILINE) for key in ("name", "_target_"))
        if name and target and target[1] != "null":
            found[name[1]] = target[1]
    return found
