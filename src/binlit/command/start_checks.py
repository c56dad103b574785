"""What only a command that is about to start can be refused for. Free of torch."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from binlit.catalogue import Config
from binlit.catalogue.folders import groups
from binlit.command.words import check_choice
from binlit.errors import ConfigError
from binlit.running.cost import too_large


def check_start(cfg: Config, words: Iterable[str], folders: Sequence[Path] | None = None) -> None:
    """Refuses what only a run about to start can be refused for.

    An option that does not exist (Hydra lets it pass in optional groups), a checkpoint that is not there, a run that
    is beyond this machine.

    Args:
        cfg: a checked config.
        words: the settings that it was composed of.
        folders: the user's folders of options; where not given, those that this process's command line names.

    Raises:
        ConfigError: naming the setting.
    """
    for word in words:
        key, _, choice = word.partition("=")
        if key in groups():
            check_choice(key, choice, folders)
    if cfg["ckpt_path"] is not None:
        check_checkpoint(Path(cfg["ckpt_path"]), "ckpt_path")
    for problem in too_large(cfg):
        raise ConfigError(problem)


def check_checkpoint(path: Path, key: str) -> None:
    """Refuses what is no checkpoint at first sight, before torch is loaded to read it.

    Raises:
        ConfigError: there is no such file, or it is no archive as torch writes it.
    """
    if not path.is_file():
        raise ConfigError(
            f"{key}={path} is no file; give a run's checkpoints/last.ckpt to go on from, best.ckpt to test"
        )
    try:
        archive = zipfile.is_zipfile(path)
    except OSError as error:
        raise ConfigError(
            f"{key}={path} cannot be read as a checkpoint ({error.strerror}); give a run's own"
        ) from error
    if not archive:
        raise ConfigError(
            f"{key}={path} cannot be read as a checkpoint; give a run's checkpoints/last.ckpt or best.ckpt"
        )
