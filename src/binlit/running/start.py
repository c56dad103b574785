"""Where a run starts: at its own last epoch, where another run of its config stopped, from given weights, or anew.

A checkpoint gives weights and state, the config says what runs. Training goes on from a checkpoint of the same config,
which may be made longer; then a schedule that follows the length is the new one's. With a checkpoint of any other
config the weights are all that is taken: epochs, optimizer and schedule begin anew, under the config.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from binlit.catalogue import Config
from binlit.catalogue.trust import check_classes, named_classes, own_classes
from binlit.config import decisive, fingerprint
from binlit.config.outcome import leaves
from binlit.errors import ConfigError, complain
from binlit.results.folder import set_aside
from binlit.running.checkpoint import Checkpoint, check_sums, read_checkpoint, remove_leftovers, require_state
from binlit.running.resume import adopt, keepers, take_weights
from binlit.task import Learning

LENGTH = "trainer.max_epochs"
Differs = dict[str, tuple[Any, Any]]  # {setting: (in the checkpoint's config, asked for)}


@dataclass
class Start:
    """What training starts from.

    Attributes:
        saved: the checkpoint; None for fresh weights.
        path: its file, among the run's own checkpoints or elsewhere.
        differs: {setting: (in the checkpoint's config, asked for)}, of those that decide the outcome.
        weights_only: whether no more than the weights is taken.
    """

    saved: Checkpoint | None = None
    path: Path = Path()
    differs: Differs = field(default_factory=dict)
    weights_only: bool = False

    @property
    def threads(self) -> int | None:
        """The threads that the last epoch was trained with; None where nothing is gone on with."""
        return None if self.saved is None or self.weights_only else self.saved["history"][-1].get("threads")

    def prepare(self, cfg: Config, task: Learning, folder: Path) -> Path | None:
        """Gives `task` the weights, or returns the checkpoint for Lightning to go on from, in `folder`.

        Raises:
            ConfigError: the weights or the state do not fit the net or its optimizer.
        """
        if self.saved is None:
            return None
        task.started_from = {
            "fingerprint": fingerprint(self.saved["config"]),
            "epochs": len(self.saved["history"]),
            "taken": "weights" if self.weights_only else "all",
            "differing": {name: before for name, (before, _) in self.differs.items()},
            "before": self.saved.get("started_from"),
        }
        if self.weights_only:
            take_weights(task, self.saved, cfg, self.path)
            complain(f"starts from the weights of {self.path}, a run with {in_words(self.differs)}; all else is new")
            return None
        if self.differs:
            complain(f"goes on from {self.path}, a run with {in_words(self.differs)}")
        return adopt(self.saved, cfg, task, self.path, folder / "checkpoints")


def starting_point(cfg: Config, folder: Path) -> Start:
    """This run's own last epoch, else `ckpt_path`, else a fresh start.

    An own checkpoint that is damaged is set aside with all of its run, saying so.

    Raises:
        ConfigError: ckpt_path cannot be gone on from, or the folder holds a run of another config.
    """
    remove_leftovers(folder / "checkpoints")
    last = folder / "checkpoints" / "last.ckpt"
    if os.path.lexists(last):
        try:
            saved = read_checkpoint(last)
            require_state(saved, last)
            for kept in {Path(state["best_model_path"]).name for state in keepers(saved)} - {"", last.name}:
                check_sums(last.with_name(kept))
        except ConfigError as error:
            complain(f"{error}; it is set aside, and the run starts anew")
            set_aside(folder)
        else:
            return own_start(cfg, saved, last)
    if cfg["ckpt_path"] is None:
        return Start()
    given = Path(cfg["ckpt_path"])
    saved = read_checkpoint(given)
    own = named_classes(cfg) | own_classes()
    check_classes(saved["config"], f"ckpt_path={given}", own, "train with an option that names it")
    differs, others = differences(saved, cfg, given)
    if others:
        return Start(saved, given, others, weights_only=True)
    require_state(saved, given)
    refuse_shorter(cfg, saved, given)
    return Start(saved, given, differs)


def own_start(cfg: Config, saved: Checkpoint, last: Path) -> Start:
    """The run's own last epoch.

    Raises:
        ConfigError: the folder holds a run of another config, or one that is longer than what is asked for.
    """
    if cfg["ckpt_path"] is not None and Path(cfg["ckpt_path"]).resolve() == last.resolve():
        cfg = cfg | {"ckpt_path": saved["config"].get("ckpt_path")}
    differs, others = differences(saved, cfg, last)
    start = saved["config"].get("ckpt_path"), cfg["ckpt_path"]
    others |= {"ckpt_path": start} if start[0] != start[1] else {}
    if others:
        raise ConfigError(
            f"{last.parents[1]} holds a run of another config, with {in_words(others)}; choose another folder, or "
            "resume=false"
        )
    refuse_shorter(cfg, saved, last)
    return Start(saved, last, differs)


def refuse_shorter(cfg: Config, saved: Checkpoint, path: Path) -> None:
    """ConfigError where the checkpoint holds more epochs than are asked for: they cannot be taken back."""
    done, asked = len(saved["history"]), cfg["trainer"].get("max_epochs")
    if asked is not None and 0 <= asked < done:
        raise ConfigError(
            f"trainer.max_epochs={asked} is fewer than the {done} epochs of {path}; give {done} or more, or train anew "
            "without it (resume=false, ckpt_path=null)"
        )


def differences(saved: Checkpoint, cfg: Config, path: Path) -> tuple[Differs, Differs]:
    """In what the checkpoint's config is another: settings that follow the number of epochs, and all others.

    Raises:
        ConfigError: the checkpoint's config is none.
    """
    try:
        before, now = (dict(leaves(decisive(one))) for one in (saved["config"], cfg))
    except Exception as error:  # whatever a foreign config lacks
        raise ConfigError(f"{path} holds no config of a run ({type(error).__name__}: {error})") from error
    lengths = before.get(LENGTH), now.get(LENGTH)
    differs = _unequal(before, now)
    following = {name: pair for name, pair in differs.items() if _follows(name, pair, lengths)}
    others = {name: pair for name, pair in differs.items() if name not in following}
    if not others:
        return {name: pair for name, pair in following.items() if name != LENGTH}, {}
    groups = {name.partition(".")[0] for name in others}
    groups |= {"binary", "weight"} if groups & {"weights", "weight", "eval_draws"} else set()
    typed = _unequal(dict(leaves(saved["config"])), dict(leaves(cfg)))  # as they were written, which says more
    typed = {name: pair for name, pair in typed.items() if name.partition(".")[0] in groups and name not in following}
    return {}, typed or others


def _unequal(before: Config, now: Config) -> Differs:
    names = sorted({*before, *now} - {"ckpt_path"})
    return {name: (before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)}


def _follows(name: str, pair: tuple[Any, Any], lengths: tuple[Any, Any]) -> bool:
    """Whether a setting differs as the number of epochs does: it is that number, or a factor that comes to the same."""
    if pair == lengths:
        return True
    if name != "scheduler.gamma" or not all(isinstance(value, int | float) for value in (*pair, *lengths)):
        return False
    whole = [value**length for value, length in zip(pair, lengths, strict=True)]
    return abs(whole[0] - whole[1]) <= 1e-6 * abs(whole[1])


def in_words(differs: Differs) -> str:
    """The first few settings that differ, with both values; of a group with another option only which that is."""
    named = {name.partition(".")[0] for name in differs if name.endswith(".name")}
    telling = [name for name in differs if name.endswith(".name") or name.partition(".")[0] not in named]
    shown = [f"{name}={differs[name][0]} (here {differs[name][1]})" for name in telling[:3]]
    return ", ".join(shown) + (f" and {len(differs) - len(shown)} more" if len(differs) > len(shown) else "")
