"""Validates, tests and records the companions of a run while that is trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from binlit.binary.inventory import Line
from binlit.callbacks import SiteMonitor
from binlit.config import fingerprint
from binlit.results.record import new_record, write_record
from binlit.running.announce import announce
from binlit.running.build import build_trainer
from binlit.running.checkpoint import Checkpoint
from binlit.running.companions import STATE, Companion, keep_last
from binlit.running.tested import final_test
from binlit.task.learning import History, Learning, diverged
from binlit.task.tally import Tally


class Companions(pl.Callback):
    """Validates in the companions' ways too, and keeps the best epoch of each.

    Args:
        those: the companions; one that cannot be kept up with is dropped, and trained by itself later.
    """

    def __init__(self, those: list[Companion]) -> None:
        self.those = those
        self._tallies: dict[str, Tally] = {}
        self._chance: dict[str, list[Tensor]] = {}
        self._found: dict[str, dict[str, Tensor]] = {}
        self._seconds: dict[str, float] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        # Of a run that goes on only those whose epochs so far are known.
        self.those = [one for one in self.those if len(one.history) == len(pl_module.history)]

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.sanity_checking:
            return
        for one in self.those:
            self._tallies[one.identity] = Tally(pl_module.classes).to(pl_module.device)
            self._chance[one.identity] = _chance(pl_module.device)
            self._seconds[one.identity] = 0.0

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if trainer.sanity_checking or not self.those:
            return
        own = _chance(pl_module.device)
        for one in self.those:
            begun = time.perf_counter()
            _take_chance(pl_module.device, self._chance[one.identity])
            with one.way_of_testing(pl_module), trainer.precision_plugin.val_step_context():
                logits, targets, examples = pl_module.evaluate(batch)
                self._tallies[one.identity].add(logits, targets, pl_module.losses(logits, targets), examples)
            self._chance[one.identity] = _chance(pl_module.device)
            self._seconds[one.identity] += time.perf_counter() - begun
        _take_chance(pl_module.device, own)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.sanity_checking:
            return
        for one in list(self.those):
            accuracy, loss = self._tallies.pop(one.identity).totals()
            if diverged(loss):
                self.those.remove(one)  # by itself it would have ended here, and says so when it is run
                continue
            self._found[one.identity] = {"val/acc": accuracy, "val/loss": loss}
            if one.improves(self._found[one.identity]):
                with one.saved_as_its_own(pl_module):
                    trainer.save_checkpoint(one.checkpoint)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        monitors = [callback for callback in trainer.callbacks if isinstance(callback, SiteMonitor)]  # type: ignore[attr-defined]
        for one in self.those:
            found = {name: float(value) for name, value in self._found.pop(one.identity, {}).items()}
            for monitor in monitors:
                with one.way_of_testing(pl_module):
                    figures, one.bits = monitor.look(pl_module, one.bits)
                found |= {name: float(value) for name, value in figures.items()}
            one.history.append(found | {"seconds": self._seconds.pop(one.identity, 0.0)})

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: Checkpoint) -> None:
        if not any(pl_module.config is one.cfg for one in self.those):
            checkpoint[STATE] = {one.identity: one.state() for one in self.those}

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: Checkpoint) -> None:
        known = checkpoint.get(STATE, {})
        for one in self.those:
            for name, value in known.get(one.identity, {}).items():
                setattr(one, name, value)

    def conclude(self, task: Learning, data: pl.LightningDataModule, layers: list[Line], folder: Path) -> None:
        """Tests and records the companions; `task` is then left with the weights of one of them.

        Args:
            folder: of the run that trained them.
        """
        last = {name: value.clone() for name, value in task.state_dict().items()}
        for one in self.those:
            keep_last(one, task, folder)
            curve, trainer = one.curve(task), build_trainer({**one.cfg, "callbacks": {}}, one.folder, quiet=True)
            log_epochs(trainer, curve)
            chosen = one.checkpoint if one.metric else None
            if chosen is None:
                task.load_state_dict(last)
            with one.way_of_testing(task):
                content = final_test(trainer, task, data, layers, one.cfg, {}, chosen, curve)
            content["trained_with"] = fingerprint(task.config or {})
            write_record(one.folder, record := new_record(one.cfg, "ok", **content))
            announce(record, one.folder, "tested in the training of the run below", sites=False)


def log_epochs(trainer: pl.Trainer, curve: History) -> None:
    """Gives the trainer's loggers the figures of epochs that another trainer trained."""
    for entry in curve:
        for logger in trainer.loggers:
            logger.log_metrics(entry, step=round(entry["epoch"]))
    for logger in trainer.loggers:
        logger.save()


def _chance(device: torch.device) -> list[Tensor]:
    """The state of torch's chance, on the CPU and the device."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _take_chance(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state, device)
