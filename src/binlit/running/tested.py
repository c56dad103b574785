"""The test of a trained net, and what the record holds of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from binlit.binary.inventory import Line, as_record
from binlit.catalogue import Config
from binlit.running.announce import fill_hparams, outcome
from binlit.running.build import best_checkpoint
from binlit.running.checkpoint import load_weights, read_checkpoint
from binlit.task.learning import LARGEST_LOSS, DivergenceError, History, Learning


def final_test(
    trainer: pl.Trainer,
    task: Learning,
    data: pl.LightningDataModule,
    layers: list[Line],
    cfg: Config,
    setting: Mapping[str, Any],
    chosen: Path | None = None,
    curve: History | None = None,
) -> dict[str, Any]:
    """Tests the best epoch, or the last where none was chosen, and fills TensorBoard's HParams.

    Args:
        trainer: that fitted the task, or another with its loggers.
        layers: of the net, for the record.
        cfg: of the run that is recorded.
        setting: {setting: value}, of those that tell this run from others.
        chosen: the checkpoint of the best epoch, where the trainer does not know it.
        curve: one entry an epoch; the task's own where not given.

    Returns:
        What the record holds.

    Raises:
        ConfigError: the checkpoint cannot be read.
        DivergenceError: the test's loss is not finite, or beyond any.
    """
    best, epoch = chosen or best_checkpoint(trainer), None
    if best:
        saved = read_checkpoint(Path(best))
        load_weights(task, saved["state_dict"])
        epoch = saved["epoch"] + 1
    trainer.test(task, datamodule=data, verbose=False)
    curve = task.history if curve is None else curve
    content = (
        task.tested
        | {"model": as_record(layers), "device": str(trainer.strategy.root_device)}
        | ({"started_from": task.started_from} if task.started_from else {})
        | outcome(curve, trainer.callback_metrics, task.examples("test"), epoch)
    )
    if (loss := content["metrics"].get("test/loss", 0.0)) is None or loss > LARGEST_LOSS:
        raise DivergenceError(f"diverged in epoch {epoch or len(curve)}: test loss {loss or math.nan:.3g}")
    fill_hparams(trainer, cfg, content["metrics"], setting)
    return content
