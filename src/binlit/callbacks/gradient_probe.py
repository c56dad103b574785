"""How good is the gradient that trains the net, as it trains? Its signal-to-noise ratio, and its direction."""

from __future__ import annotations

import copy
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binlit.binary import BinaryActivation, binary_units
from binlit.estimator import LeaveOneOut, Step
from binlit.estimator.base import Call, at_least_float32
from binlit.estimator.score_function import rand_draws


class GradientProbe(pl.Callback):
    """Logs at every `every`-th epoch's end, over a fixed batch of validation images and the layers below the last site:

    - `probe/snr`: |g|^2 / tr Cov of one estimate of the run's own estimator, g its mean; of `draws` estimates, the part
      of |mean|^2 that chance explains taken off. 1: signal and noise are of one size.
    - `probe/cosine`: cosine of one estimate to the reference, mean over estimates.
    - `probe/cosine_mean`: cosine of the mean of all estimates to the reference: averaging removes noise, not bias.

    The reference is the leave-one-out score function on the net as it is, with the same bits' probabilities, averaged
    over `reference` repeats of 16 draws at each site. It is unbiased, and itself noisy: `probe/reference_snr` says how
    much (of the averaged reference). Weights, running statistics and the random state stay as they were.

    Args:
        every: epochs from one look to the next, >= 1.
        draws: estimates of the run's own estimator, >= 2.
        reference: repeats of the reference, >= 2.
        examples: images looked at, >= 1.
    """

    def __init__(self, every: int = 1, draws: int = 32, reference: int = 64, examples: int = 64) -> None:
        if every < 1 or draws < 2 or reference < 2 or examples < 1:
            raise ValueError(
                f"callbacks.probe: every={every} and examples={examples} must be at least 1, draws={draws} and "
                f"reference={reference} at least 2"
            )
        self.every, self.draws, self.reference, self.examples = every, draws, reference, examples

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if (trainer.current_epoch + 1) % self.every or not binary_units(pl_module):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        part = data.parts["val"]
        x = data.normalise(part.images[: self.examples]).to(pl_module.device)
        y = part.labels[: self.examples].to(pl_module.device)
        net: Any = pl_module.net
        figures = self.look(net, x, y)
        pl_module.log_dict({f"probe/{name}": value for name, value in figures.items()})

    def look(self, net: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
        """The figures for a net, on a batch; a copy of the net is used, and the random state is restored."""
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(0)
            own = _estimates(copy.deepcopy(net).train(), x, y, self.draws)
            twin = copy.deepcopy(net).train()
            reference = PlainScore(16)
            for unit in binary_units(twin):
                unit.estimator = reference
            truth = _estimates(twin, x, y, self.reference)
        mean = truth.mean(0)
        return {
            "snr": signal_to_noise(own),
            "cosine": float(F.cosine_similarity(own, mean[None], dim=1).mean()),
            "cosine_mean": float(F.cosine_similarity(own.mean(0), mean, dim=0)),
            "reference_snr": signal_to_noise(truth) * len(truth),
        }


class PlainScore(LeaveOneOut):
    """Leave-one-out for any firing probability: d log P(b) = (b - p) / (p (1 - p)) dp, nothing where p is 0 or 1.

    Where the surrogate is flat the bit does not depend on its input, so that nothing is lost there.
    """

    needs_logit = False

    def draws_here(self, call: Call, repeated: bool) -> int:
        return self.draws[0] if not repeated else 4

    def sample(self, call: Call, count: int) -> tuple[Tensor, Tensor, None]:
        p = at_least_float32(call.surrogate.probability(call.z))
        bits = (rand_draws(p.detach(), count) < p.detach()).to(p.dtype)
        inside = ((p > 0) & (p < 1)).detach()
        chance = torch.where(inside, torch.where(bits > 0, p, 1 - p), 1.0)
        return bits, chance.log().flatten(2).sum(2), None


def signal_to_noise(estimates: Tensor) -> float:
    """|g|^2 / tr Cov from estimates (n, parameters), |g|^2 without what chance adds to |mean|^2; 0 for no signal."""
    noise = float(estimates.var(0).sum())
    signal = float(estimates.mean(0).square().sum()) - noise / len(estimates)
    return max(0.0, signal) / noise if noise else 0.0


def _estimates(net: nn.Module, x: Tensor, y: Tensor, count: int) -> Tensor:
    """`count` estimates (count, parameters) of the gradient with respect to the layers below the last site."""
    parameters = below_last_site(net)
    found = []
    for _ in range(count):
        with Step(net) as step:
            out = net(step.inputs(x))
            loss = step.loss(F.cross_entropy(out, step.targets(y), reduction="none"))
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        found.append(
            torch.cat([(p * 0 if g is None else g).flatten() for p, g in zip(parameters, gradients, strict=True)])
        )
    return torch.stack(found).detach()


def below_last_site(net: nn.Module) -> list[nn.Parameter]:
    """The weights defined before the last binary unit of `net`, an estimator's own left out."""
    modules = list(net.modules())
    last = max(i for i, module in enumerate(modules) if isinstance(module, BinaryActivation))
    own = {id(p) for unit in binary_units(net) for p in unit.estimator.parameters()}
    found = [p for module in modules[:last] for p in module.parameters(recurse=False)]
    return [p for p in found if id(p) not in own]
