"""The progress bar: loss, accuracy and time left, without a log call each step."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar


class ProgressBar(RichProgressBar):
    """Lightning's rich bar (elapsed and remaining time), with the latest loss and the epoch's accuracy so far."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        task: Any = pl_module
        if task.latest_loss is not None and trainer.training:
            shown["loss"] = f"{float(task.latest_loss):.3f}"
            shown["acc"] = f"{task.accuracy_so_far():.4f}"
        known = trainer.callback_metrics
        if "val/acc" in known:
            shown["val acc"] = f"{float(known['val/acc']):.4f}"
        return shown
