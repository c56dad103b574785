"""What is taken from a checkpoint: the weights of another run, or all of it, the rates those of the config."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch

from binlit.catalogue import Config
from binlit.errors import ConfigError
from binlit.files import whole
from binlit.running.checkpoint import Checkpoint, check_sums, first_misfit, write_checkpoint
from binlit.task import Learning

OWN_OF_UNITS = (".estimator.", ".slope.", ".parametrizations.weight.0.")  # what a binary unit adds to a net's weights
LATENT = ("parametrizations.weight.original", "weight")  # the same weight, where it is binary and where it is real


def take_weights(task: Learning, saved: Checkpoint, cfg: Config, path: Path) -> None:
    """Gives `task` the weights of another run's net.

    What a binary unit has of its own (slope, what its estimator learned) is taken where both have it, and else stays
    fresh. A weight that is binary here and real there, or the other way round, is the same weight.

    Raises:
        ConfigError: it is another net.
    """
    wanted, state = task.state_dict(), dict(saved["state_dict"])
    same_rule = saved["config"].get("estimator") == cfg["estimator"]
    for name in list(state):
        if not same_rule and ".estimator." in name:
            del state[name]
            continue
        for here, there in (LATENT, LATENT[::-1]):
            other = name.removesuffix(there) + here
            if name not in wanted and name.endswith(f".{there}") and other in wanted:
                state[other] = state.pop(name)
    try:
        missing, strange = task.load_state_dict(state, strict=False)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"ckpt_path={path} holds the weights of another net: {first_misfit(error)}") from error
    for names, said in ((missing, "has no"), (strange, "has, and this net has not,")):
        names = [name for name in names if not any(part in f"{name}." for part in OWN_OF_UNITS)]
        if names:
            raise ConfigError(f"ckpt_path={path} holds the weights of another net: it {said} {', '.join(names[:3])}")


def adopt(saved: Checkpoint, cfg: Config, task: Learning, source: Path, folder: Path) -> Path:
    """A checkpoint in `folder` to go on from, with the best epoch so far beside it; `source` is left as it is.

    Lightning forgets the best score when its checkpoints have moved, and would then take the first epoch after the
    move for the best one. So the best checkpoint is copied along, and the paths in the saved state are set to it.

    Args:
        saved: what `read_checkpoint(source)` gave; it is changed.
        cfg: the config that is gone on under.
        task: the task that goes on, with its net.
        source: where it was read from.
        folder: where the run goes on.

    Returns:
        `source` itself where nothing had to be changed, else folder/last.ckpt.

    Raises:
        ConfigError: weights or optimizer are not those of the config, or the best epoch is missing or damaged.
    """
    try:
        task.load_state_dict(saved["state_dict"])
        changed = fit_optimizer(saved, cfg, task)
        states = keepers(saved)
        if not states:
            raise ValueError("it has no state of the callbacks that keep checkpoints")
        if not changed and all(state["dirpath"] == str(folder) for state in states) and source.parent == folder:
            return source
        for state in states:
            _move(state, source.parent, folder)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, RuntimeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{source} cannot be gone on from: {first_misfit(error)}") from error
    saved["config"], saved["started_from"] = cfg, task.started_from
    return write_checkpoint(saved, folder / "last.ckpt")


def keepers(saved: Checkpoint) -> list[dict[str, Any]]:
    """The states of the callbacks that keep checkpoints."""
    states = [state for state in saved["callbacks"].values() if isinstance(state, dict)]
    return [state for state in states if {"dirpath", "best_model_path", "best_k_models"} <= state.keys()]


def fit_optimizer(saved: Checkpoint, cfg: Config, task: Learning) -> bool:
    """Sets the saved rates to those that the config's schedule has after as many epochs; whether that changed them.

    Raises:
        ValueError, RuntimeError: the state is that of another optimizer.
    """
    made = task.configure_optimizers()
    optimizer, schedulers = (made["optimizer"], [made["lr_scheduler"]]) if isinstance(made, dict) else (made, [])
    if len(saved["optimizer_states"]) != 1 or len(saved["lr_schedulers"]) != len(schedulers):
        raise ValueError("it has the state of another number of optimizers or schedules")
    changed = bool(schedulers) and cfg["scheduler"] != saved["config"]["scheduler"]
    if changed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a schedule that moves without its optimizer
            for _ in saved["history"]:
                schedulers[0].step()
        saved["lr_schedulers"] = [schedulers[0].state_dict()]
        for group, new in zip(saved["optimizer_states"][0]["param_groups"], optimizer.param_groups, strict=True):
            group |= {name: value for name, value in new.items() if name != "params"}
    optimizer.load_state_dict(saved["optimizer_states"][0])
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != parameter.shape:
                raise ValueError(
                    f"its optimizer's {name} is {tuple(value.shape)} for a weight {tuple(parameter.shape)}"
                )
    return changed


def _move(state: dict[str, Any], old: Path, new: Path) -> None:
    """Sets a ModelCheckpoint's state to the new folder, copying the files that it names from the old one."""
    new.mkdir(parents=True, exist_ok=True)
    best = Path(state["best_model_path"]).name
    if best and state.get("monitor"):
        check_sums(old / best)

    def moved(path: str) -> str:
        name = Path(path).name
        if path and (old / name).is_file() and old != new:
            with (old / name).open("rb") as source, whole(new / name) as target:
                shutil.copyfileobj(source, target)
        return str(new / name) if path else path

    state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}
    for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[key] = moved(state[key])
    state["dirpath"] = str(new)
