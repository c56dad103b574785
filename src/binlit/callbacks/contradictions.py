"""Callbacks with which a run could not be resumed, tested, or distinguished from another. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from binlit.callbacks.options import LAST, METRICS, PROBE, chosen_by, keeps_checkpoints
from binlit.catalogue import Config, Option
from binlit.errors import did_you_mean


def contradictions(cfg: Config, task: Option) -> Iterable[str]:
    """What of the callbacks fits neither each other, nor the trainer, nor the task."""
    nodes = {name: node for name, node in cfg["callbacks"].items() if node}
    if task.facts.shares_losses and any(str(node.get("_target_")) == PROBE for node in nodes.values()):
        yield f"callbacks=probe measures the gradient of a classification loss; leave it out with task={task.name}"
    yield from _never_validated(cfg)
    yield from _unfit_checkpoints(cfg)
    for name, node in nodes.items():
        monitor = node.get("monitor")
        if monitor is not None and monitor not in METRICS:
            yield (
                f"callbacks.{name}.monitor={monitor} is not logged; choose {', '.join(METRICS)}"
                f"{did_you_mean(monitor, METRICS)}"
            )


def _never_validated(cfg: Config) -> Iterable[str]:
    """A tested epoch that is to be chosen by validation, of which there is none."""
    trainer, monitor = cfg["trainer"], chosen_by(cfg)
    if monitor is None or not monitor.startswith("val/") or trainer.get("fast_dev_run"):
        return
    every, epochs = trainer.get("check_val_every_n_epoch"), trainer.get("max_epochs")
    if every and epochs and every > epochs:
        yield (
            f"trainer.check_val_every_n_epoch={every} leaves no validation in {epochs} epochs to choose the tested one "
            "by; give a smaller number, or callbacks.best=null for the last epoch"
        )


def _unfit_checkpoints(cfg: Config) -> Iterable[str]:
    """Callbacks with which a run could not be resumed, tested, or distinguished from another."""
    kept = {name: node for name, node in cfg["callbacks"].items() if keeps_checkpoints(node)}
    files: dict[str, str] = {}
    keys: dict[tuple[Any, ...], str] = {}
    for name, node in kept.items():
        file = str(node.get("filename") or name)
        if node.get("monitor") and not node.get("filename"):
            yield f"callbacks.{name}.filename is empty, and the tested file needs a name; give one, such as {name}"
        if node.get("monitor") and ("{" in file or "/" in file):
            yield f"callbacks.{name}.filename={file} is not known before the run; give a plain name, such as best"
        if file in files:
            yield f"callbacks.{name} and callbacks.{files[file]} write the same file, {file}.ckpt; give other filenames"
        key = tuple(node.get(k) for k in ("monitor", "mode", "every_n_epochs", "every_n_train_steps"))
        if key in keys:  # Lightning tells their states apart by these
            yield (
                f"callbacks.{name} and callbacks.{keys[key]} keep the same epochs, by monitor={node.get('monitor')}; "
                f"give callbacks.{name} another monitor or every_n_epochs, or leave it out"
            )
        files[file], keys[key] = name, name
    if cfg["resume"] and not cfg["trainer"].get("fast_dev_run") and not any(map(_goes_on, kept.values())):
        yield (
            f"callbacks.{LAST} does not keep the whole of each last epoch as {LAST}.ckpt, so a run that is cut off "
            "could not be gone on from; leave it as it is, or add resume=false"
        )


def _goes_on(node: Config) -> bool:
    """Whether a callback keeps the whole state of each last epoch in the file that a run goes on from."""
    plain = not node.get("monitor") and not node.get("save_weights_only") and node.get("save_top_k", 1) == 1
    each = node.get("every_n_epochs") in (None, 1) and not (
        node.get("every_n_train_steps") or node.get("train_time_interval")
    )
    return plain and each and node.get("filename") == LAST and node.get("enable_version_counter") is False
