"""Going on from a checkpoint that was written elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from binlit.config import ConfigError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of binlit's, on the CPU.

    Raises:
        ConfigError: the path is no file, or the file is no checkpoint of binlit's, or a damaged one.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is no file; give a run's checkpoints/last.ckpt to go on from, or best.ckpt to test")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign or damaged file makes torch raise
        raise ConfigError(f"{path} cannot be read as a checkpoint ({type(error).__name__})") from error
    if not isinstance(saved, dict) or not isinstance(saved.get("config"), dict):
        raise ConfigError(f"{path} holds no config, so it was not made by binlit.train")
    return saved


def epoch_of(path: str) -> int:
    """The epoch, counted from 1, after which a checkpoint was saved."""
    return int(read_checkpoint(Path(path))["epoch"]) + 1


def adopt(saved: dict[str, Any], source: Path, folder: Path) -> Path:
    """A checkpoint in `folder` to go on from, with the best epoch so far beside it; `source` is left as it is.

    Lightning forgets the best score when its checkpoints have moved, and would then take the first epoch after the
    move for the best one. So the best checkpoint is copied along, and the paths in the saved state are set to it.

    Args:
        saved: what `read_checkpoint(source)` gave; its paths are changed.
        source: where it was read from.
        folder: where the run goes on.

    Returns:
        `source` itself where it was written into `folder`, else folder/last.ckpt.
    """
    states = [state for state in saved.get("callbacks", {}).values() if "dirpath" in state]
    if all(state["dirpath"] == str(folder) for state in states) and source.parent == folder:
        return source
    folder.mkdir(parents=True, exist_ok=True)
    for state in states:
        _move(state, source.parent, folder)
    temporary = folder / ".last.ckpt"
    torch.save(saved, temporary)
    return temporary.replace(folder / "last.ckpt")


def _move(state: dict[str, Any], old: Path, new: Path) -> None:
    """Sets a ModelCheckpoint's state to the new folder, copying the files that it names from the old one."""

    def moved(path: str) -> str:
        name = Path(path).name
        if path and (old / name).is_file() and old != new:
            shutil.copyfile(old / name, new / f".{name}")
            (new / f".{name}").replace(new / name)
        return str(new / name) if path else path

    state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}
    for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[key] = moved(state[key])
    state["dirpath"] = str(new)
