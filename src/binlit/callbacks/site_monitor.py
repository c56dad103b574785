"""What each binary site does, epoch by epoch: the figures that show a silent failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from binlit.binary import BinaryActivation, binary_units
from binlit.binary.place import evaluating


class SiteMonitor(pl.Callback):
    """Logs for each binary site, at the end of each epoch:

    - `slope`: the slope that the unit's forward pass read;
    - `ones`: share of bits that are on, over a fixed batch of validation images in evaluation mode;
    - `flat`: share of units in the flat part of the surrogate, over the same batch;
    - `flips`: share of these bits that changed since the epoch before (not there in the first epoch). Where bits are
      drawn the same random numbers are used in every epoch, so that a flip comes from the weights and not from chance;
    - `grad_below`: root mean square, over the batches looked at, of the norm of the loss's gradient with respect to
      the unit's input. The layers below learn through it; 0 means that they learn nothing from this site.

    Args:
        every: training batches from one look at the gradient to the next, >= 1.
        examples: size of the fixed batch, >= 1.
    """

    def __init__(self, every: int = 100, examples: int = 128) -> None:
        if every < 1 or examples < 1:
            raise ValueError(f"callbacks.monitor: every={every} and examples={examples} must both be at least 1")
        self.every, self.examples = every, examples
        self.bits: dict[str, Tensor] = {}  # of the epoch before, bool
        self.squares: dict[str, list[Tensor]] = {}
        self._batch: Tensor | None = None
        self._handles: list[RemovableHandle] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self._batch = data.example_images(self.examples).to(pl_module.device)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx % self.every:
            return
        for unit in binary_units(pl_module):
            seen = self.squares.setdefault(unit.site, [])
            seen.append(torch.zeros((), device=pl_module.device))  # stays 0 where no gradient arrives
            self._handles.append(unit.register_forward_pre_hook(_watch(seen, len(seen) - 1)))

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self._release()

    def on_exception(self, *args: Any, **kwargs: Any) -> None:
        self._release()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        units = binary_units(pl_module)
        if not units or self._batch is None:
            return
        figures, self.bits = self.look(pl_module, self.bits)
        for unit in units:
            squares = torch.stack(self.squares.pop(unit.site, [torch.zeros(())]))
            figures[f"site/{unit.site}/grad_below"] = squares.mean().sqrt()
        pl_module.log_dict(figures)

    def look(
        self, module: pl.LightningModule, before: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the sites of the net do on the fixed batch.

        Args:
            module: its binary units are looked at in evaluation mode; it is left as it was.
            before: bits of the epoch before, by site; {} for none.

        Returns:
            {site/NAME/figure: value, shape ()}, all but the gradients; and the bits (bool) by site.
        """
        units = binary_units(module)
        calls, figures = self._calls(module, units), dict[str, Tensor]()
        for unit in units:
            z, slope, bits = calls[unit.site]
            seen = {
                "slope": slope,
                "ones": bits.float().mean(),
                "flat": unit.surrogate.is_flat(z).float().mean(),
            }
            if unit.site in before:
                seen["flips"] = (bits != before[unit.site]).float().mean()
            figures |= {f"site/{unit.site}/{name}": value for name, value in seen.items()}
        return figures, {unit.site: calls[unit.site][2] for unit in units}

    def _calls(
        self, module: pl.LightningModule, units: list[BinaryActivation]
    ) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """z, slope and bits (bool) of every unit on the fixed batch; leaves chance and mode as they were."""
        assert self._batch is not None
        calls: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

        def keep(unit: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
            count = unit.binary_channels(args[0].shape[1])
            z, bits = unit.pre_activation(args[0][:, :count])[1], output[:, :count] == 1
            calls[unit.site] = (z, unit.slope.clone(), bits.cpu())

        handles = [unit.register_forward_hook(keep) for unit in units]
        with evaluating(module, handles):
            torch.manual_seed(0)
            module(self._batch)
        return calls

    def _release(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def state_dict(self) -> dict[str, Any]:
        return {"bits": self.bits}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.bits = state_dict["bits"]


def _watch(seen: list[Tensor], index: int) -> Callable[..., None]:
    """A hook that adds the squared norm of the gradient at the unit's input to seen[index]."""

    def hook(_unit: Any, args: tuple[Tensor, ...]) -> None:
        def add(gradient: Tensor) -> None:
            if _unit.step is not None:  # an estimator differentiates its control variate: not what trains the net
                return
            passed = gradient.detach()[:, : _unit.binary_channels(gradient.shape[1])]
            seen[index] = seen[index] + passed.float().square().sum()

        if args[0].requires_grad:
            args[0].register_hook(add)

    return hook
