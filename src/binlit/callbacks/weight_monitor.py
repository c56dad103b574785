"""What binary weights do, epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from binlit.binary import binary_weights, latent


class WeightMonitor(pl.Callback):
    """Logs for each layer with binary weights, at the end of each epoch:

    - `flips`: share of weights whose sign changed since the end of the epoch before (the flip ratio; in the first
      epoch: since the start);
    - `ends`: share of latent weights at -1 or +1, the ends of the clip;
    - `grad`: root mean square, over the batches looked at, of the norm of the gradient with respect to the latent
      weight. 0 means that the layer learns nothing.

    Args:
        every: training batches from one look at the gradient to the next, >= 1.
    """

    def __init__(self, every: int = 100) -> None:
        if every < 1:
            raise ValueError(f"callbacks.weights: every={every} must be at least 1")
        self.every = every
        self.signs: dict[str, Tensor] = {}  # of the epoch before: eight weights a byte
        self.squares: dict[str, list[Tensor]] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        net: Any = pl_module.net
        self.signs = self.signs or {name: packed_signs(latent(net, name)) for name in binary_weights(net)}

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if trainer.fit_loop.epoch_loop.batch_idx % self.every:
            return
        net: Any = pl_module.net
        for name in binary_weights(net):
            gradient = latent(net, name).grad
            square = torch.zeros(()) if gradient is None else gradient.detach().float().square().sum().cpu()
            self.squares.setdefault(name, []).append(square)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        net: Any = pl_module.net
        for name in binary_weights(net):
            weight = latent(net, name).detach()
            signs = packed_signs(weight)
            seen = torch.stack(self.squares.pop(name, [torch.zeros(())]))
            figures = {
                "flips": _differing(signs, self.signs[name]) / weight.numel(),
                "ends": (weight.abs() >= 1).float().mean(),
                "grad": seen.mean().sqrt(),
            }
            self.signs[name] = signs
            pl_module.log_dict({f"weight/{name}/{key}": value for key, value in figures.items()})

    def state_dict(self) -> dict[str, Any]:
        return {"signs": self.signs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.signs = state_dict["signs"]


def packed_signs(weight: nn.Parameter | Tensor) -> Tensor:
    """1[w >= 0] of all weights, eight a byte, uint8, on the CPU; the last byte is filled up with zeros."""
    return torch.from_numpy(np.packbits((weight.detach() >= 0).flatten().cpu().numpy(), bitorder="little"))


def _differing(one: Tensor, other: Tensor) -> int:
    """How many bits differ between two packed tensors."""
    return int(np.unpackbits((one ^ other).numpy()).sum())
