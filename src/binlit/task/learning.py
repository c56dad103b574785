"""What all tasks share: epochs, seeds, slopes, history, counting. A task adds its training step and its evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binlit.anneal import Constant, Schedule
from binlit.binary import binary_units, binary_weights, clip_latents, estimators, set_slope, weight_groups
from binlit.task.tally import Tally

ParameterGroups = list[dict[str, Any]]
History = list[dict[str, float]]
# Beyond it a run has diverged. Of 491 published runs the worst epoch's mean loss is 1.3e5, on the way back; a billion
# nats for an example is what no step recovers from.
LARGEST_LOSS = 1e9


class DivergenceError(ArithmeticError):
    """A loss is not finite or beyond `LARGEST_LOSS`, or a weight is not finite: the run is stopped."""


class Learning(pl.LightningModule):
    """Base of the tasks; subclasses define `training_step` and `evaluate`.

    Args:
        net: binary units already placed.
        classes: number of classes that a prediction tells apart.
        anneal: slope of the binary units in each epoch.
        optimizer: parameter groups -> optimizer. An estimator's own parameters are a group of their own, without
            weight decay, and with its own learning rate.
        scheduler: optimizer -> learning-rate scheduler, stepped each epoch; None for none.
        seed: of everything drawn while training and testing.
        eval_draws: predictions averaged at validation and test time (mean of the probabilities over as many draws).
        channels_last: memory format of weights and images.

    Attributes:
        history: one entry of metrics for each epoch done; saved in checkpoints.
        config: the run's config as plain containers, or None; saved too: a checkpoint alone can be tested again.
        tested: what the record holds of the test, beside its metrics.
        started_from: the run, and its epoch, whose state or weights this run started from; None for none.
    """

    def __init__(
        self,
        net: nn.Module,
        classes: int,
        optimizer: Callable[[ParameterGroups], torch.optim.Optimizer],
        anneal: Schedule | None = None,
        scheduler: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler] | None = None,
        seed: int = 0,
        eval_draws: int = 1,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last) if channels_last else net  # type: ignore[call-overload]
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.anneal = anneal or Constant()
        self.seed, self.eval_draws, self.classes = seed, eval_draws, classes
        self.tallies = nn.ModuleDict({f"of_{part}": Tally(classes) for part in ("train", "val", "test")})
        self.config: dict[str, Any] | None = None
        self.history: History = []
        self._begun = self._validating = self._rate = 0.0
        self.latest_loss: Tensor | None = None  # of the last training batch, for the progress bar
        self.tested: dict[str, Any] = {}
        self.started_from: dict[str, Any] | None = None

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def on_train_epoch_start(self) -> None:
        self._begun, self._validating = time.perf_counter(), 0.0
        self._rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])  # at the end the scheduler has moved it on
        for part in ("train", "val"):
            self.tally(part).examples = 0
            self.tally(part).drop_waiting()
        torch.manual_seed(epoch_seed(self.seed, self.current_epoch))  # bits do not depend on what ran before the epoch
        set_slope(self.net, self.anneal.slope(self.current_epoch + 1))
        for estimator in estimators(self.net):
            estimator.begin_epoch(self.current_epoch + 1)

    def seen(self, loss: Tensor, logits: Tensor, targets: Tensor, losses: Tensor, examples: int) -> None:
        """Counts a training batch: drawn rows only, logits (n, classes), targets and losses (n,), detached."""
        self.latest_loss = loss.detach()
        self._count("train", logits, targets, losses, examples)
        every = getattr(self.trainer, "log_every_n_steps", 0)
        if every and self.global_step % every == 0:  # a log call each step would be felt
            self.log("train/loss_step", self.latest_loss)

    def evaluate(self, batch: Any) -> tuple[Tensor, Tensor, int]:
        """Predictions in evaluation mode: logits (n, classes), targets (n,), and how many examples these are."""
        raise NotImplementedError

    def on_validation_start(self) -> None:
        self._validating -= time.perf_counter()

    def on_validation_end(self) -> None:
        self._validating += time.perf_counter()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate("val", batch)

    def on_test_start(self) -> None:
        self.tally("test").examples = 0
        torch.manual_seed(epoch_seed(self.seed, -1))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate("test", batch)

    def on_validation_epoch_end(self) -> None:
        totals = self._totals("val")
        self.refuse_divergence("validation", totals["val/loss"])
        self.log_dict(totals)

    def on_test_epoch_end(self) -> None:
        self.log_dict(self._totals("test"))

    def on_train_epoch_end(self) -> None:
        units = binary_units(self.net)
        read = {"lr": self._rate} | ({"slope": float(units[0].slope)} if units else {})
        self.log_dict(self._totals("train") | read)
        for name, weight in self.net.state_dict().items():  # a bit of NaN is 0, so the loss may look well
            if weight.is_floating_point() and not weight.sum().isfinite():  # one pass, a tenth of the time
                raise DivergenceError(f"diverged in epoch {self.current_epoch + 1}: {name} is not finite")
        stale = ("train/loss_step",) if self.examples("val") else ("train/loss_step", "val/acc", "val/loss")
        metrics = {name: float(x) for name, x in self.trainer.callback_metrics.items() if name not in stale}
        seconds = time.perf_counter() - self._begun
        times = {"seconds": seconds, "train_seconds": seconds - self._validating, "examples": self.examples("train")}
        read |= {"threads": torch.get_num_threads()}
        self.history.append({"epoch": self.current_epoch + 1} | dict(sorted(metrics.items())) | read | times)

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(parameter_groups(self))
        for group in optimizer.param_groups:  # before a scheduler takes note of where it starts
            group["lr"] *= group.get("rate_scale", 1.0)
        if binary_weights(self.net):  # else each step would look through the net for nothing
            optimizer.register_step_post_hook(lambda *_: clip_latents(self.net))
        if self.make_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self.make_scheduler(optimizer)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"], checkpoint["config"] = self.history, self.config
        checkpoint["started_from"] = self.started_from

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history, self.started_from = checkpoint.get("history", []), checkpoint.get("started_from")

    def refuse_divergence(self, part: str, loss: Tensor) -> None:
        """Stops a run that has diverged.

        Args:
            part: what the loss is of, such as `validation`.
            loss: a mean of losses, shape ().

        Raises:
            DivergenceError: it is not finite or beyond `LARGEST_LOSS`.
        """
        if diverged(loss):
            raise DivergenceError(f"diverged in epoch {self.current_epoch + 1}: {part} loss {float(loss):.3g}")

    def mean_prediction(self, predict: Callable[[], Tensor]) -> Tensor:
        """Logits of the mean prediction over `eval_draws` draws; `predict` gives logits (..., classes) of one draw."""
        if self.eval_draws == 1:
            return predict()
        draws = torch.stack([predict().log_softmax(dim=-1) for _ in range(self.eval_draws)])
        return draws.logsumexp(dim=0) - math.log(self.eval_draws)

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each example, shape (n,), from logits (n, classes) and targets (n,)."""
        return F.cross_entropy(logits, targets, reduction="none")

    def _evaluate(self, part: str, batch: Any) -> None:
        logits, targets, examples = self.evaluate(batch)
        self._count(part, logits, targets, self.losses(logits, targets), examples)

    def _count(self, part: str, logits: Tensor, targets: Tensor, losses: Tensor, examples: int) -> None:
        mean = self.tally(part).add(logits, targets, losses, examples)
        if mean is not None and part == "train":
            self.refuse_divergence("training", mean)

    def accuracy_so_far(self) -> float:
        """Training accuracy of the epoch up to now, as a fraction; at least one batch must have been trained on."""
        return float(self.tally("train").accuracy_so_far())

    def examples(self, part: str) -> int:
        """How many examples the part (`train`, `val` or `test`) has seen in this epoch, or this test."""
        return self.tally(part).examples

    def tally(self, part: str) -> Tally:
        """What counts the batches of `train`, `val` or `test`."""
        tally = self.tallies[f"of_{part}"]
        assert isinstance(tally, Tally)
        return tally

    def _flush_training(self) -> None:
        if (mean := self.tally("train").flush()) is not None:
            self.refuse_divergence("training", mean)

    def _totals(self, part: str) -> dict[str, Tensor]:
        """The part's metrics over all that was counted since the last call; counting starts anew."""
        if part == "train":
            self._flush_training()
        accuracy, loss = self.tally(part).totals()
        return {f"{part}/acc": accuracy, f"{part}/loss": loss}


def diverged(loss: Tensor) -> bool:
    """Whether a mean of losses, shape (), is not finite or beyond `LARGEST_LOSS`."""
    return not abs(float(loss)) <= LARGEST_LOSS  # NaN is not either


def parameter_groups(module: nn.Module) -> ParameterGroups:
    """The real parameters, a group for what an estimator learns, and one for each binary layer's latent weight."""
    groups: ParameterGroups = []
    for estimator in estimators(module):
        learned: dict[str, Any] = {"params": list(estimator.parameters()), "weight_decay": 0.0}
        if estimator.learning_rate is not None:
            learned["lr"] = estimator.learning_rate
        groups += [learned] if learned["params"] else []
    own = {id(parameter) for group in groups for parameter in group["params"]}
    real, *binary = weight_groups(module)
    return [{"params": [p for p in real["params"] if id(p) not in own]}, *groups, *binary]


def epoch_seed(seed: int, epoch: int) -> int:
    """Seed of what is drawn in one epoch (-1: in the test), in [0, 2^63)."""
    return (seed * 1_000_003 + epoch + 2) % 2**63
