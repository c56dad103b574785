"""One training, several tests: jobs of a sweep that differ in how the net is tested alone are trained once.

A score function draws its bits in training whatever the mode, so the deterministic row of a table is the stochastic
row's training, tested with thresholds. The first of such jobs is trained. The others are its companions: after each
batch of validation the net is asked in their way too, the best epoch by that is kept in their folders, and at the end
each is tested and recorded. Chance is set apart, so that every record is, but for its times, what the job alone would
have given.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from binlit.binary import BinaryActivation, binary_units, binary_weights
from binlit.callbacks.options import chosen_by, chosen_towards, tested_checkpoint
from binlit.catalogue import Config
from binlit.config import check, fingerprint
from binlit.config.training import training_of
from binlit.paths import COMPANIONS
from binlit.results.folder import FolderError, locked, set_aside
from binlit.results.record import finished
from binlit.running.checkpoint import read_checkpoint, write_checkpoint
from binlit.running.resume import keepers
from binlit.task.learning import History, Learning

STATE = "companions"  # in checkpoints: {fingerprint: what is known of it up to then}


@dataclass
class Companion:
    """Another job of the same training.

    Attributes:
        cfg: its config.
        folder: where its record and checkpoints land.
        history: its epochs so far, as `Learning.history`.
        best: its best value of the metric that chooses the epoch; None before the first.
        bits: of the site monitor, in the epoch before.
    """

    cfg: Config
    folder: Path
    history: History = field(default_factory=list)
    best: float | None = None
    bits: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.identity = fingerprint(self.cfg)
        self.metric = chosen_by(self.cfg)
        self.checkpoint = self.folder / "checkpoints" / tested_checkpoint(self.cfg)

    @contextlib.contextmanager
    def way_of_testing(self, task: Learning) -> Iterator[None]:
        """The net makes its bits in evaluation as this job's config says."""
        parts: list[Any] = [*binary_units(task.net), *binary_weights(task.net).values()]
        binary, before = self.cfg["binary"], [part.evaluation for part in parts]
        own = task.eval_draws, task.config
        how = {"auto": "threshold" if binary["mode"] == "deterministic" else "sample", "mean": "sample"}
        for part in parts:
            is_unit = isinstance(part, BinaryActivation)
            part.evaluation = how.get(binary["eval"], binary["eval"]) if is_unit else self.cfg["weight"]["eval"]
        task.eval_draws, task.config = binary["eval_draws"], self.cfg
        try:
            yield
        finally:
            task.eval_draws, task.config = own
            for part, evaluation in zip(parts, before, strict=True):
                part.evaluation = evaluation

    def improves(self, metrics: dict[str, Tensor]) -> bool:
        """Whether these are better than the best so far; they are then the best."""
        if self.metric is None:
            return False
        value, chooser = float(metrics[self.metric]), chosen_towards(self.cfg)
        sign = 1 if chooser == "max" else -1
        value = -sign * math.inf if math.isnan(value) else value
        if self.best is not None and sign * value <= sign * self.best:
            return False
        self.best = value
        return True

    def state(self) -> dict[str, Any]:
        return {"history": self.history, "best": self.best, "bits": self.bits}

    def curve(self, task: Learning) -> History:
        """Its epochs, with what they have in common with those of the run that trains it."""
        return [{**shared, **own} for shared, own in zip(task.history, self.history, strict=False)]

    @contextlib.contextmanager
    def saved_as_its_own(self, task: Learning) -> Iterator[None]:
        """A checkpoint of `task` is one of this job."""
        before = task.config, task.history
        task.config, task.history = self.cfg, self.curve(task)
        try:
            yield
        finally:
            task.config, task.history = before


def named_companions(cfg: Config, folder: Path) -> list[Companion]:
    """The jobs that the sweep named as this run's companions, as far as they still are.

    Args:
        cfg: this run's checked config.
        folder: this run's.
    """
    path, training = folder / COMPANIONS, training_of(cfg)
    if training is None or not path.is_file():
        return []
    try:
        named = json.loads(path.read_text(encoding="utf-8"))
        those = [Companion(check(one["config"]), folder.parent / one["folder"]) for one in named]
    except (OSError, ValueError, LookupError, TypeError):
        return []  # they are then trained by themselves
    return [one for one in those if training_of(one.cfg) == training and one.identity != fingerprint(cfg)]


@contextlib.contextmanager
def companions_of(cfg: Config, folder: Path) -> Iterator[list[Companion]]:
    """The companions that have still to be trained, their folders held.

    One that another process is at work on is left to that, and one that has epochs of its own goes on from these.
    """
    with contextlib.ExitStack() as folders:
        free = []
        for one in named_companions(cfg, folder):
            try:
                folders.enter_context(locked(one.folder, wait=False))
            except (BlockingIOError, FolderError):
                continue
            if not cfg["resume"]:
                set_aside(one.folder)
            if not finished(one.folder, one.identity) and not (one.folder / "checkpoints" / "last.ckpt").exists():
                free.append(one)
        yield free


def keep_last(one: Companion, task: Learning, folder: Path) -> None:
    """Leaves the companion's last epoch in its folder, as its own training would have.

    Args:
        task: that was trained.
        folder: of the run that trained it.
    """
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return
    saved = read_checkpoint(last)
    saved.pop(STATE, None)
    saved["config"], saved["history"] = one.cfg, one.curve(task)

    def moved(path: str) -> str:
        return str(one.checkpoint.with_name(Path(path).name)) if path else path

    for state in keepers(saved):
        state["dirpath"] = str(one.checkpoint.parent)
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[key] = moved(state[key])
        state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}
        if one.metric and state["monitor"] == one.metric and one.best is not None:
            best = torch.tensor(one.best)
            state |= {"best_model_score": best, "kth_value": best, "best_k_models": {state["best_model_path"]: best}}
            state["current_score"] = torch.tensor(saved["history"][-1].get(one.metric, one.best))
    for state in saved["callbacks"].values():
        if state.keys() == {"bits"}:
            state["bits"] = one.bits
    write_checkpoint(saved, one.checkpoint.with_name(last.name))
