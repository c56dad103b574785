"""Which options conf/ and a user's own folders have, and which class each of ours names. Read from the files."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
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


def read_yaml(path: Path) -> Any:
    """What an option's file holds, read in C where PyYAML can: in Python it takes ten times as long."""
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
