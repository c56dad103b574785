"""Going on from a checkpoint that was written elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch


def adopt(source: Path, folder: Path) -> Path:
    """A checkpoint in `folder` to go on from, with the best epoch so far beside it; `source` is left as it is.

    Lightning forgets the best score when its checkpoints have moved, and would then take the first epoch after the
    move for the best one. So the best checkpoint is copied along, and the paths in the saved state are set to it.

    Returns:
        `source` itself where it was written into `folder`, else folder/last.ckpt.
    """
    saved = torch.load(source, map_location="cpu", weights_only=True)
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
            shutil.copyfile(old / name, new / name)
        return str(new / name) if path else path

    state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}
    for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[key] = moved(state[key])
    state["dirpath"] = str(new)
